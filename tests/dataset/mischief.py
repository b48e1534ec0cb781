"""A step that does what broken files make decoders do. In a module of its own: workers that are lost load it anew."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

import numpy as np

from osteon.types import Radiograph


@dataclass(frozen=True)
class Misbehave:
    """Crashes, hangs, fails or fills the memory, by the height of the image."""

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        match radiograph.pixels.shape[0]:
            case 91:
                os._exit(11)
            case 92:
                time.sleep(600)
            case 93:
                raise ValueError("unforeseen")
            case 94 if sys.platform == "linux":
                np.ones(2**31, np.uint8)
        return [radiograph]
