"""Shapes in masks: components, rims, rectangles."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def components(mask: Mask, least: float) -> list[tuple[Mask, int]]:
    """Components (neighbours share an edge) of so many pixels or more, with their areas.

    OpenCV's own statistics of components take three times as long as finding them.
    """
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if width * height < least:
        return []
    here = np.s_[y : y + height, x : x + width]
    _, labels = cv2.connectedComponents(mask.view(np.uint8)[here], connectivity=4)
    areas, found = np.bincount(labels.ravel()), []
    for k in range(1, len(areas)):
        if areas[k] >= least:
            component = np.zeros_like(mask)
            np.equal(labels, k, out=component[here])
            found.append((component, int(areas[k])))
    return found


def opened(mask: Mask, kernel: cv2.typing.MatLike) -> Mask:
    """The mask without what the kernel does not fit into."""
    return np.asarray(cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_OPEN, kernel).view(bool))


def rim_of(region: Mask, wide: int) -> Mask:
    """The pixels of a region within half of `wide` pixels of its edge, or of the image's."""
    inner = cv2.erode(
        region.view(np.uint8), np.ones((wide, wide), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return np.asarray(region & (inner == 0))


def rectangularity(mask: Mask) -> tuple[float, float, cv2.typing.RotatedRect]:
    """Shares of the smallest rectangle about a component that its outline and its convex hull fill; the rectangle."""
    outline = _outline(mask.view(np.uint8))
    rectangle = cv2.minAreaRect(outline)
    hull = cv2.convexHull(outline)
    area = (rectangle[1][0] + 1) * (rectangle[1][1] + 1)
    # Outlines run through pixel centres: half of their length, and one, make up for the outer halves.
    convex = cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1
    return cv2.contourArea(outline) / area, convex / area, rectangle


def solidity(mask: NDArray[np.uint8]) -> float:
    """Area of a component relative to that of its convex hull."""
    hull = cv2.convexHull(_outline(mask))
    return float(mask.sum()) / max(1.0, cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1)


def inner(shape: tuple[int, ...], rectangle: cv2.typing.RotatedRect, inset: int) -> Mask:
    """The inside of a rectangle, without its edge."""
    centre, (width, height), angle = rectangle
    size = max(width - 2 * inset, 1.0), max(height - 2 * inset, 1.0)
    drawn = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(drawn, np.round(cv2.boxPoints((centre, size, angle))).astype(np.int32), 1)
    return drawn > 0


def _outline(mask: NDArray[np.uint8]) -> cv2.typing.MatLike:
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return max(outlines, key=len)
