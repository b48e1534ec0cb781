"""The page on explanations from what `explain.py` has measured: every figure comes from the JSON, none from here.

python benchmarks/explain_page.py docs/results/benchmarks/explain.json docs/results/explanations.md
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from osteon import files

HEAD = """# Explanations on FracAtlas

**Data and model.** Those of [FracAtlas](fracatlas.md): a logistic regression on frozen EfficientNet-Lite0 features,
448 px. Every image is explained by the network of its fold, whose head has not learnt from it. Fractured images with
[boxes](../reference/localisation.md) are drawn at random; the methods that run the network many times are measured on
the first of them alone. What is asked, and why so, stands on the page of the
[checks](../reference/explain.md#which-methods-a-reader-may-see).

**Commands**, with OUT from [`fracatlas.sh`](fracatlas.sh) and DATA the folder of the data set:

```text
python benchmarks/explain.py --run OUT --boxes DATA/boxes.csv --images 60 --costly 30 --rounds 3 \\
    --json docs/results/benchmarks/explain.json
python benchmarks/explain_page.py docs/results/benchmarks/explain.json docs/results/explanations.md
```

The second writes this page; its figures are those of the [JSON](benchmarks/explain.json). Intervals are 95 %, by a
bootstrap of whole groups.
"""
"""What stands before the figures."""


def shown(figure: Mapping[str, Any], digits: int = 2) -> str:
    """A figure with its interval."""
    if figure["value"] is None:
        return f"not available: {figure['note']}"
    if figure["low"] is None:
        return f"{figure['value']:.{digits}f}"
    return f"{figure['value']:.{digits}f} ({figure['low']:.{digits}f} to {figure['high']:.{digits}f})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def pointing(figures: Mapping[str, Any]) -> str:
    """Where the highest place of each map lies, beside what knows nothing of the network."""
    rows = [
        (
            name,
            str(told["images"]),
            shown(told["figures"]["pointing"]),
            shown(told["figures"]["pointing_gain"]),
            shown(told["figures"]["energy"]),
            shown(told["figures"]["energy_gain"]),
        )
        for name, told in figures["checks"]["methods"].items()
    ]
    floors = [(f"*floor: {name}*", str(told["n"]), shown(told), "", "", "") for name, told in figures["floors"].items()]
    head = ("method", "images", "pointing game", "gain over the better floor", "energy in the boxes", "over their area")
    return table(head, [*rows, *floors])


def verdicts(figures: Mapping[str, Any]) -> str:
    """Whether each map forgets with the weights and the score falls in its order; and whether it may be shown."""
    rows = [
        (
            name,
            shown(told["figures"]["likeness"]),
            shown(told["figures"]["structure"]),
            shown(told["figures"]["deletion_gain"]),
            "**passes**" if told["shown"] else "; ".join(told["reasons"]),
        )
        for name, told in figures["checks"]["methods"].items()
    ]
    return table(("method", "likeness to the shuffled network's", "structure (SSIM)", "deletion gain", "verdict"), rows)


def conservation(figures: Mapping[str, Any]) -> str:
    """By how much relevance misses the logit less the last bias."""
    every = {"EfficientNet-Lite0 on these radiographs": figures["conservation"]}
    every |= {f"{name}, random head, noise": told for name, told in figures["conservation on noise"].items()}
    rows = [
        (name, str(told["images"]), f"{told['median']:.5%}", f"{told['largest']:.5%}")
        if "median" in told
        else (name, str(told["images"]), "no map", "; ".join(told["why"]))
        for name, told in every.items()
    ]
    return table(("network", "images", "median", "largest"), rows)


def times(figures: Mapping[str, Any]) -> str:
    """Processor time of a map by method and backbone."""
    backbones = list(figures["ms"])
    methods = list(dict.fromkeys(method for told in figures["ms"].values() for method in told))
    rows = [
        (
            method,
            *(
                f"{told[method]['median']:.0f}" if method in (told := figures["ms"][name]) else "–"
                for name in backbones
            ),
        )
        for method in methods
    ]
    return table(("method", *backbones), rows)


def page(content: Mapping[str, Any]) -> str:
    """The page, as Markdown."""
    figures, machine = content["figures"], content["machine"]
    passed = [name for name, told in figures["checks"]["methods"].items() if told["shown"]]
    verdict = f"May be shown by the rule: {', '.join(passed)}." if passed else "By the rule, no method may be shown."
    costs = (
        f"Processor time in ms, median of {figures['rounds']} images of noise of {figures['side']} px, without the "
        f"mirror image, one thread.\nThe load of the machine was {machine['load']} on {machine['cores']} cores: where "
        "that is more than the cores, times are\nto be compared with one another and no more."
    )
    sections = (
        HEAD.strip(),
        "## Does a map point at the fracture?",
        pointing(figures),
        "A gain is against the floor with the higher mean on the same images. Coarse maps lose in energy without\n"
        "being wrong. The [detector](fracatlas.md) that comes with osteon was taught with boxes and is another\n"
        "model: its own map points, and the page of its figures says how often.",
        "## Does it depend on what was learnt?",
        "Likeness is the rank correlation of magnitudes with the map of the network whose weights are shuffled. To\n"
        "pass, the upper end of its interval lies below 0.5, and the lower ends of both gains above 0.",
        verdicts(figures),
        verdict,
        "## Does relevance add up?",
        "What reached the pixels by LRP, less the logit without its last bias, as a share of all relevance counted\n"
        "without its sign. A map that misses by more than 1 % is not shown.",
        conservation(figures),
        "## What a map costs",
        costs,
        times(figures),
    )
    return "\n\n".join(sections) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("figures", type=Path, help="that explain.py wrote")
    parser.add_argument("page", type=Path)
    options = parser.parse_args()
    text = page(files.read_json(options.figures))
    with files.replacing(options.page) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
