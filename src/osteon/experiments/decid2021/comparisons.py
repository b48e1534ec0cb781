"""The study's tables: which arms stand in them, and what the study has there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from osteon.experiments.decid2021.arms import (
    BASELINE,
    BY_SIZE,
    INVERTED,
    OTHER_OPTIMISERS,
    PADDED,
    RX_LARGE,
    RX_LITE,
    RX_MENDED,
    by_batch_name,
    ours_name,
)
from osteon.experiments.decid2021.plan import PUBLISHED, Plan

NOTHING: Mapping[str, Any] = {}


def asked(plan: Plan, arms: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every table: `name`, `title`, `note` and `rows`; a row has `what`, the `arm`, and the `study`'s figures or {}.

    Args:
        plan: of the run.
        arms: as `report.json` has them.
    """
    sizes = [
        {"what": arms[name]["size"], "arm": name, "study": {"what": theirs["size"], **theirs}}
        for name, theirs in zip(BY_SIZE, PUBLISHED["sizes"], strict=True)
    ]
    batches = [
        {"what": f"batch {size}", "arm": by_batch_name(size) if place else PADDED, "study": NOTHING}
        for place, size in enumerate(plan.batches)
    ]
    optimisers = [
        {"what": "Adam", "arm": by_batch_name(plan.batches[1]), "study": NOTHING},
        *({"what": kind, "arm": name, "study": NOTHING} for kind, name in OTHER_OPTIMISERS.items()),
    ]
    models = [
        {"what": "ResNet18, the baseline", "arm": BASELINE, "study": PUBLISHED["baseline"]},
        {"what": "Model Rx Lite", "arm": RX_LITE, "study": PUBLISHED["rx_lite"]},
        {"what": arms[RX_LARGE]["title"], "arm": RX_LARGE, "study": NOTHING},
        {"what": arms[RX_MENDED]["title"], "arm": RX_MENDED, "study": NOTHING},
        *(
            {"what": f"{choice.backbone}, {arms[name]['size']}", "arm": name, "study": NOTHING}
            for choice in plan.ours
            for place in range(len(BY_SIZE))
            for name in [ours_name(choice, place)]
        ),
    ]
    return [
        _table("sizes", "Tables 6.2 and 6.3: the size of the images", sizes, "ResNet18 on stretched images."),
        _table(
            "fit",
            "Table 6.4: stretched or padded",
            [
                {"what": "stretched", "arm": BY_SIZE[0], "study": PUBLISHED["resize"]},
                {"what": "padded", "arm": PADDED, "study": PUBLISHED["pad"]},
            ],
            "The study calls the first resizing.",
        ),
        _table(
            "inversion",
            "Table 6.5: inversion as augmentation",
            [
                {"what": "every other image inverted", "arm": INVERTED, "study": PUBLISHED["inverted"]},
                {"what": "none inverted", "arm": PADDED, "study": PUBLISHED["pad"]},
            ],
            "",
        ),
        _table(
            "batches",
            "Figure 6.7: batches",
            batches,
            "The study gives no table; it kept 32."
            + ("" if plan.epochs.batches == plan.epochs.tables else " The first row is trained for fewer epochs."),
        ),
        _table(
            "optimisers",
            "Section 6.2.2.3: optimisers",
            optimisers,
            "The study gives no figures: SGD did not hold up with Adam, AMSGrad was slightly worse.",
        ),
        _table(
            "models",
            "Tables 6.6 to 6.8: the models",
            models,
            "The best epoch by the accuracy on the validation set is kept.",
        ),
    ]


def _table(name: str, title: str, rows: list[dict[str, Any]], note: str) -> dict[str, Any]:
    told = [{**row, "study": dict(row["study"])} for row in rows]
    return {"name": name, "title": title, "rows": told, "note": note, "published": any(row["study"] for row in told)}
