"""Images on which the tests of steps agree."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from osteon.dataset import frame, steps
from osteon.types import Radiograph, Recipe
from tests.make import SHARED

FRACATLAS = SHARED / "fracatlas" / "images"


@st.composite
def radiographs(draw: st.DrawFn) -> Radiograph:
    """Anything from a flat image to noise, of any depth and shape."""
    white = draw(st.sampled_from([255, 1023, 65535]))
    height, width = draw(st.integers(32, 150)), draw(st.integers(32, 150))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    coarse = rng.random((draw(st.integers(1, 9)), draw(st.integers(1, 9)))).astype(np.float32)
    values = cv2.resize(coarse, (width, height)) + draw(st.sampled_from([0, 0.02, 0.5])) * rng.normal(
        size=(height, width)
    )
    return Radiograph((np.clip(values, 0, 1) * white).astype(np.uint8 if white == 255 else np.uint16), white)


def shown(recipe: Recipe, radiograph: Radiograph) -> NDArray[np.uint8]:
    (only,) = steps.apply(recipe, radiograph)
    return frame.render(only)
