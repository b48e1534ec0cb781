"""How a long bone comes apart: one part becomes two, the near and the far side of a fracture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from osteon.phantom.anatomy import Part, moved
from osteon.phantom.fracture import Fracture
from osteon.phantom.fragment import Fragment

TRIM_MM = 2.5
"""How far a fragment is followed beyond the surface at which it ends: more than any gap is open."""


def fragments(bone: Part, fracture: Fracture) -> list[Part]:
    """The near and the far side; both are trimmed to the heights that they can reach, which saves half of the work."""
    surface = fracture.points(bone.layers[0].solid, whole=True)[:, 2]
    low, high = float(surface.min()) - TRIM_MM, float(surface.max()) + TRIM_MM
    far = moved(bone, fracture.motion)
    near_layers = tuple(replace(x, solid=x.solid.trimmed(-np.inf, high)) for x in bone.layers)
    far_layers = tuple(replace(x, solid=x.solid.trimmed(low, np.inf)) for x in far.layers)
    return [
        replace(
            bone, name=f"{bone.name}, proximal", layers=near_layers, fragment=Fragment(fracture, False, (low, high))
        ),
        # The anchor stays: the trabecular pattern belongs to the place, not to the fragment.
        replace(bone, name=f"{bone.name}, distal", layers=far_layers, fragment=Fragment(fracture, True, (low, high))),
    ]
