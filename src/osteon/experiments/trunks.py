"""The frozen backbones that an experiment is asked to use."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class TrunkChoice:
    """A frozen backbone: its name, and its weights as `osteon features` takes them."""

    backbone: str
    weights: str = "default"

    @classmethod
    def parse(cls, text: str) -> TrunkChoice:
        """`NAME` or `NAME=WEIGHTS`."""
        name, _, weights = text.partition("=")
        return cls(name, weights or "default")

    def __str__(self) -> str:
        return f"{self.backbone}={self.weights}"


def slug(text: str) -> str:
    """A name as the name of a folder."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
