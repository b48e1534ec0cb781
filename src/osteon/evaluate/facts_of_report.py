"""What the report knows: figures with floors and intervals, and how they were made; a sentence for each function."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from osteon.evaluate.facts_of_data import several
from osteon.evaluate.quotes import REPORT, Absent, Fact, Quotes

VALIDATION, TEST = "validation", "test"
SHORTCUTS = ("floor_near", "strong_tags", "far_prevalence", "gain_not_shown", "too_good", "no_floor")
"""Rules of the report that speak of what a model may have learnt beside the bone."""


def labelled(q: Quotes) -> str:
    """The word that a simulated figure carries, wherever it goes."""
    if not q.flag(REPORT, "phantom"):
        return ""
    return f"This is a {q.text(REPORT, 'label')}. "


def titled(part: str) -> str:
    """A part of the report as readers see it."""
    return "Sealed test set" if part == TEST else "Cross-validation"


def cases(q: Quotes, part: str = VALIDATION) -> str:
    """How much one part holds."""
    at = (REPORT, part, "cases")
    told = several(q.count(*at, "images"), "image")
    told = f"{told} of {several(q.count(*at, 'groups'), 'patient or group', 'patients or groups')}"
    return f"{titled(part)}: {told}, {q.count(*at, 'positives')} positive ({q.share(*at, 'prevalence')})."


def folds(q: Quotes) -> str:
    """Images, positives and patients of each fold, and what lies in the test part."""
    at = (REPORT, VALIDATION, "cases", "folds")
    told = [
        f"Fold {k + 1}: {several(q.count(*at, k, 'images'), 'image')}, {q.count(*at, k, 'positives')} positive, "
        f"{several(q.count(*at, k, 'groups'), 'patient or group', 'patients or groups')}"
        for k in q.rows(*at)
    ]
    return f"Each fold was judged by a model trained on the others. {'; '.join(told)}.{_sealed(q)}"


def _sealed(q: Quotes) -> str:
    return q.if_known(lambda: f" {cases(q, TEST)}") or q.if_known(
        lambda: (
            f" The test part ({several(q.count(REPORT, TEST, 'images'), 'image')}) is {q.text(REPORT, TEST, 'state')}."
        )
    )


def headline(q: Quotes, part: str = VALIDATION) -> str:
    """AUROC with interval, best floor and gain."""
    at = (REPORT, part, "discrimination")
    images = several(q.count(REPORT, part, "cases", "images"), "image")
    mean = f", mean of {several(q.count(*at, 'folds_counted'), 'fold')}" if part == VALIDATION else ""
    told = f"{titled(part)}, {images}: AUROC {q.figure(*at, 'auroc')}{mean}"
    return f"{labelled(q)}{told}. {_floor(q, part)}"


def _floor(q: Quotes, part: str) -> str:
    at = (REPORT, part, "discrimination")

    def known() -> str:
        best = f"{q.text(*at, 'best_floor', 'title')}, reaches {q.figure(*at, 'best_floor', 'auroc')}"
        return f"The best floor, {best}; the gain over it is {q.figure(*at, 'gain')}."

    return q.if_known(known) or "No floor was given."


def floors(q: Quotes) -> str:
    """Every floor beside the model, on the same cases."""
    at = (REPORT, VALIDATION, "discrimination", "floors")
    told = [f"{q.text(*at, k, 'title')} {q.figure(*at, k, 'auroc')}" for k in q.rows(*at)]
    return f"{labelled(q)}Floors on the same folds, AUROC: {'; '.join(told)}."


def operating_points(q: Quotes, part: str = VALIDATION) -> str:
    """Sensitivity, specificity and predictive values at each operating point."""
    at = (REPORT, part, "operating_points", "rows")
    told = []
    for k in q.rows(*at):
        rates = [f"{name} {q.figure(*at, k, name)}" for name in ("sensitivity", "specificity")]
        values = [q.if_known(partial(_value, q, at, k, name)) for name in ("ppv", "npv")]
        told.append(f"{q.text(*at, k, 'name')}: {', '.join([*rates, *filter(None, values)])}")
    return f"{labelled(q)}{titled(part)}, by operating point. {'; '.join(told)}."


def _value(q: Quotes, at: tuple[str, ...], k: int, name: str) -> str:
    return f"{name.upper()} {q.figure(*at, k, name)}"


def confusion(q: Quotes, part: str = VALIDATION) -> str:
    """Calls against the label at each operating point."""
    at, of = (REPORT, part, "operating_points", "rows"), (REPORT, part, "cases")
    told = [
        f"{q.text(*at, k, 'name')}: {q.count(*at, k, 'called')} called positive, "
        f"{q.count(*at, k, 'called_rightly')} of them rightly"
        for k in q.rows(*at)
    ]
    whole = f"Of {several(q.count(*of, 'images'), 'image')}, {q.count(*of, 'positives')} are positive"
    return f"{labelled(q)}{titled(part)}. {whole}. {'; '.join(told)}."


def calibration(q: Quotes) -> str:
    """Brier score, expected calibration error, slope and intercept."""
    at = (REPORT, VALIDATION, "calibration")
    names = {"brier": "Brier score", "brier_of_prevalence": "always telling the prevalence", "slope": "slope"}
    names |= {"intercept": "intercept", "expected_calibration_error": "expected calibration error"}
    told = [f"{title} {q.figure(*at, name)}" for name, title in names.items()]
    return f"{labelled(q)}Calibration, out of fold: {', '.join(told)}."


def cut_offs(q: Quotes) -> str:
    """How cut-offs were chosen, and which."""
    at = (REPORT, "operating_points")
    told = [
        f"{name}: {q.text(*at, name)} ({q.number(REPORT, VALIDATION, 'cut', name, form='.4f')})"
        for name in q.names(*at)
    ]
    return f"Chosen on the other folds for each fold, on all folds for the test: {'; '.join(told)}."


def intervals(q: Quotes) -> str:
    """How intervals were made."""
    level, samples = q.share(REPORT, "settings", "level"), q.count(REPORT, "settings", "resamples")
    seed = q.count(REPORT, "settings", "seed")
    return f"Intervals are {level} percentile intervals of {samples} bootstrap samples of whole patients, seed {seed}."


def measures(q: Quotes) -> str:
    """Which measures were taken."""
    known = {"discrimination": "AUROC, average precision and the gain over floors", "calibration": "calibration"}
    known |= {"operating_points": "sensitivity, specificity and predictive values at stated cut-offs"}
    known |= {"three_way": "coverage of three answers", "per_study": "the same per study"}
    known |= {"cortices": "agreement on the grades of cortices", "totals": "ICC and error of visit totals"}
    told = [title for name, title in known.items() if q.if_known(partial(_has, q, name))]
    if not told:
        raise Absent
    return f"Measured: {'; '.join(told)}. docs/reference/evaluate.md defines each."


def _has(q: Quotes, name: str) -> str:
    q.has(REPORT, VALIDATION, name)
    return name


def test_figures(q: Quotes) -> str:
    """The sealed test set: its figures and its openings, or that it is sealed, or that there is none."""
    if q.equals(REPORT, TEST, "state", to=("opened",)):
        return f"{headline(q, TEST)}{q.if_known(lambda: _opened(q))}"
    if q.equals(REPORT, TEST, "state", to=("sealed",)):
        return f"{several(q.count(REPORT, TEST, 'images'), 'image')} lie aside, sealed: no figure is known of them."
    if q.equals(REPORT, TEST, "state", to=("absent",)):
        return "There is no test part: all figures come from cross-validation."
    raise Absent


def _opened(q: Quotes) -> str:
    dates = [q.text("openings", k, "opened") for k in q.rows("openings")]
    return f" It has been opened {'once' if len(dates) == 1 else f'{len(dates)} times'}: {', '.join(dates)}."


def three_answers(q: Quotes) -> str:
    """Positive, inconclusive or negative at a stated error rate; or why there are no such answers."""
    at = (REPORT, VALIDATION, "three_way")
    reason = q.if_known(lambda: f"Three answers are not available: {q.text(*at, 'reason')}.")
    if reason:
        return reason
    both = next((k for k in q.rows(*at, "rows") if _of_all(q, k)), None)
    if both is None:
        raise Absent
    row = (*at, "rows", both)
    unclear = f"a share of {q.figure(*row, 'inconclusive')} of the images is called inconclusive"
    covered = f"the answer given holds the true one for a share of {q.figure(*row, 'coverage')}"
    return f"{labelled(q)}At a stated error rate of {q.share(*at, 'error_rate')}, {unclear}; {covered}."


def _of_all(q: Quotes, k: int) -> bool:
    at = (REPORT, VALIDATION, "three_way", "rows", k)
    return q.equals(*at, "value", to=("all",)) and q.equals(*at, "of", to=("both",))


def studies(q: Quotes) -> str:
    """The figures per study, for every rule; or why there are none."""
    at = (REPORT, VALIDATION, "per_study")
    reason = q.if_known(lambda: f"There are no figures per study: {q.text(*at, 'reason')}.")
    if reason:
        return reason
    told = [f"{q.text(*at, 'rules', k, 'title')} {q.figure(*at, 'rules', k, 'auroc')}" for k in q.rows(*at, "rules")]
    many = several(q.count(*at, "studies"), "study", "studies")
    return f"{labelled(q)}Per study ({many}), AUROC by rule: {'; '.join(told)}."


def prevalence(q: Quotes) -> str:
    """The share of positives judged, and predictive values where another was asked for."""
    told = f"Among the images judged, {q.share(REPORT, VALIDATION, 'cases', 'prevalence')} are positive."
    return f"{told}{q.if_known(lambda: _asked(q))}"


def _asked(q: Quotes) -> str:
    at = (REPORT, VALIDATION, "operating_points", "rows", 0)
    values = f"PPV {q.figure(*at, 'ppv_at_prevalence')}, NPV {q.figure(*at, 'npv_at_prevalence')}"
    wanted = q.share(REPORT, "settings", "prevalence")
    return f" At a prevalence of {wanted}, by the cut-off {q.text(*at, 'name')}: {values}."


def places(q: Quotes) -> str:
    """Where the model looks: pointing game and boxes, each beside its best floor."""
    told = [q.if_known(partial(_pointing, q)), q.if_known(partial(_boxes, q))]
    if not any(told):
        raise Absent
    return f"{labelled(q)}{' '.join(filter(None, told))}"


def _pointing(q: Quotes) -> str:
    at = (REPORT, VALIDATION, "places", "pointing")
    told = (
        f"The highest point of the model's map lies in a true box in a share of {q.figure(*at, 'rate')} of the images"
    )
    return f"{told}; the best floor, {q.text(*at, 'best_floor', 'title')}, {q.figure(*at, 'best_floor', 'rate')}."


def _boxes(q: Quotes) -> str:
    at = (REPORT, VALIDATION, "places", "boxes")
    told = f"Boxes that overlap a true one by {q.number(*at, 'overlap')}: average precision"
    floor = f"{q.text(*at, 'best_floor', 'title')}, {q.figure(*at, 'best_floor', 'average_precision')}"
    return f"{told} {q.figure(*at, 'average_precision')}; the best floor, {floor}."


def cautions(q: Quotes) -> str:
    """What the report asks to be read first."""
    return " ".join(q.text(REPORT, "cautions", k, "text") for k in q.rows(REPORT, "cautions"))


def shortcuts(q: Quotes) -> str:
    """Cautions on what a model may have learnt beside the bone."""
    told = [k for k in q.rows(REPORT, "cautions") if q.equals(REPORT, "cautions", k, "rule", to=SHORTCUTS)]
    if not told:
        raise Absent
    return " ".join(q.text(REPORT, "cautions", k, "text") for k in told)


def totals(q: Quotes) -> str:
    """The healing score per visit: ICC with its best floor, and the mean absolute error."""
    at = (REPORT, VALIDATION, "totals")
    visits = several(q.count(*at, "visits"), "visit")
    floor = f"{q.text(*at, 'icc', 'best_floor', 'title')}, reaches {q.figure(*at, 'icc', 'best_floor', 'figure')}"
    icc, error = q.figure(*at, "icc", "figure"), q.figure(*at, "mae", "figure")
    return f"{labelled(q)}{visits}: ICC(2,1) of the total {icc}; the best floor, {floor}. Mean absolute error {error}."


FACTS: Mapping[str, Fact] = {
    fact.__name__: fact
    for fact in (
        *(cases, folds, headline, floors, operating_points, confusion, calibration, cut_offs, intervals, measures),
        *(test_figures, three_answers, studies),
        *(prevalence, places, cautions, shortcuts, totals),
    )
}
"""Name, as the tables of items use it → fact."""
