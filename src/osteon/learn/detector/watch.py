"""The guard of a detector, which looks at maps that the detector computes anyway.

It reads the means and maxima of the finest maps that are those of the trunk as it came: what a training has changed may
take images of new patients for stranger than those it learnt from, and coarser maps take images of other hospitals so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from osteon.evaluate.patient_quantiles import fewest
from osteon.learn.bank import FeatureBank
from osteon.learn.detector.network import STRIDES
from osteon.learn.guard import FALSE_ALARM, LIMITS, Guard
from osteon.learn.heads import FLIPS, pooled
from osteon.learn.maps import apart

RARE = 0.02
"""Rate of false alarms where there are patients enough: at 5 % nearly all wrists of another hospital were refused."""

_TOGETHER = 64  # images whose maps are held at a time


@dataclass(frozen=True, eq=False)
class Watch:
    """A guard, and what of a bundle it looks at.

    Attributes:
        guard: of features (flips, d) as `looks` gives them.
        member: number of the detector in the bundle whose maps it reads.
        strides: of these maps.
    """

    guard: Guard
    member: int
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.member < 0 or not self.strides or not set(self.strides) <= set(STRIDES):
            raise ValueError(f"a guard reads maps at strides among {STRIDES}, not {self.strides} of {self.member}")

    def to_json(self) -> dict[str, Any]:
        """All but its arrays."""
        return {**self.guard.to_json(), "member": self.member, "strides": list(self.strides)}

    @classmethod
    def of(cls, guard: Guard, content: Mapping[str, Any]) -> Watch:
        """The watch that `to_json` told, with its guard.

        Raises:
            KeyError, TypeError, ValueError: if it is no such thing.
        """
        return cls(guard, int(content["member"]), tuple(map(int, content["strides"])))


def rate_for(patients: int) -> float:
    """The rate of false alarms for a guard that so many patients teach: RARE if they are enough for it."""
    return RARE if patients >= fewest(RARE / LIMITS) else FALSE_ALARM


def watched_strides(cached: Sequence[int], middle: int) -> tuple[int, ...]:
    """The finest stride whose maps a training leaves as they came, if maps at these strides were cached and the stages
    behind `middle` (0: none) were trained along; () if there is none."""
    return tuple(stride for stride in STRIDES if stride in cached and (not middle or stride <= middle))[:1]


def looks(laid: Tensor, cached: Sequence[int], channels: Sequence[int], strides: Sequence[int]) -> Tensor:
    """Mean and maximum of each channel, (n, d), of maps (n, c, h, w) as `osteon.learn.maps.maps_of` lays them.

    Args:
        laid: the maps.
        cached: strides at which they are.
        channels: at each of these strides.
        strides: which of them are looked at.
    """
    every = dict(zip(cached, apart(laid, cached, channels), strict=True))
    return torch.cat([pooled(every[stride]) for stride in strides], dim=1)


def features_in(
    bank: FeatureBank, images: Sequence[str], channels: Sequence[int], strides: Sequence[int]
) -> NDArray[np.float32]:
    """(n, flips, d) looks of images whose maps a bank holds; other arguments as `looks`.

    Raises:
        NotFound: if the bank lacks some of the images.
    """
    flips = []
    for flip in range(FLIPS):
        parts = []
        for start in range(0, len(images), _TOGETHER):
            names = images[start : start + _TOGETHER]
            maps = torch.from_numpy(bank.maps_of(names, np.full(len(names), flip))).float()
            parts.append(looks(maps, bank.strides, channels, strides).numpy())
        flips.append(np.concatenate(parts))
    return np.stack(flips, axis=1)
