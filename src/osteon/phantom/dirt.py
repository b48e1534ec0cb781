"""How dirty plates are: the chance of every artefact."""

from __future__ import annotations

from dataclasses import dataclass, fields

from osteon.errors import BadTable


@dataclass(frozen=True)
class Dirt:
    """Chance of each artefact on a plate, 0 to 1; the defaults are a realistic mix.

    Attributes:
        inverted: the picture is a negative: bone is dark.
        turned: turned in its plane by any angle. quarter: by about 90° to either side. upside_down: by about 180°.
            All from the way its body part is commonly shown (a hand with the fingers up, a leg with the toes down),
            which the other limbs keep to within some degrees (`tilt_deg`, a standard deviation).
        touching: the limb is cut by a side of the plate.
        collimated: only a field is exposed. shutter: of these, those whose surroundings are painted black.
            skewed: of these, those whose field is turned against the plate by up to 8°.
        border: a frame; drawn from `osteon.phantom.fields.BORDERS` with equal chance.
        noisy: very few quanta and a coarse film grain. fog: an uneven grey veil over the whole plate.
        letter: a lead letter by each limb. dot: a disc that points out an abnormal image. text: burnt in.
        hardware, cast: metal, or a plaster, on an arm.
    """

    inverted: float = 0.2
    turned: float = 0.12
    quarter: float = 0.06
    upside_down: float = 0.08
    tilt_deg: float = 4.0
    touching: float = 0.15
    collimated: float = 0.5
    shutter: float = 0.35
    skewed: float = 0.3
    border: float = 0.2
    noisy: float = 0.15
    fog: float = 0.15
    letter: float = 0.6
    dot: float = 0.08
    text: float = 0.25
    hardware: float = 0.05
    cast: float = 0.05

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self) if f.name != "tilt_deg"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadTable(f"the chance {name} is {getattr(self, name)}", remedy="give one between 0 and 1")


CLEAN = Dirt(**{f.name: 0.0 for f in fields(Dirt)})
"""No dirt: one upright limb on a dark, quiet ground."""
