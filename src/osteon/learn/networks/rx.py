"""Model Rx of de Cid 2021 (section 5.2): convolutions without residual connections, so that relevance is easily traced.

A block is a convolution of 3 × 3 (no padding, stride 1), a maximum over 2 × 2 and a ReLU; Lite has four of them, Large
eight. Then come an adaptive average pooling and three fully connected layers: `heads.RX`, behind any of these trunks.

How wide the layers are stands in a figure that we have not seen, so the widths are ours: 16 channels, doubled while the
maps are large, and no more than 256.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from osteon.errors import Mismatch

MEAN, STD = 0.34587, 0.22898
"""Of the grey values, in 0..1, of the wrists of de Cid 2021 (section 4.3)."""


@dataclass(frozen=True)
class Form:
    """Which Model Rx.

    Attributes:
        widths: channels that each block gives.
        padding: pixels that each convolution adds to every side; the study has none.
        mended: begin as He 2015 (equation 10) has it, and normalise by the batch behind each convolution (Ioffe and
            Szegedy 2015). The study does neither, and its Large did not learn.
    """

    widths: tuple[int, ...]
    padding: int = 0
    mended: bool = False

    @property
    def smallest_side(self) -> int:
        """Pixels that the shorter side of an image needs, so that one value is left of it."""
        side = 1
        for _ in self.widths:
            side = 2 * side + 2 - 2 * self.padding
        return side


_LITE = (16, 32, 64, 128)
_LARGE = (16, 32, 64, 128, 128, 256, 256, 256)

FORMS: Mapping[str, Form] = {
    "rx_lite": Form(_LITE),
    "rx_large": Form(_LARGE),
    "rx_large_padded": Form(_LARGE, padding=1),
    "rx_large_normalised": Form(_LARGE, padding=1, mended=True),
}
"""Name → form. The first two are the study's. Large as published needs images of 766 px, padded of 256 px."""


class Rx(nn.Module):
    """The blocks of Model Rx: grey images (n, 1, h, w) to maps (n, d, h', w').

    Every step is a module of its own, so that rules of relevance propagation can be hung on it.
    """

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form
        entering = (1, *form.widths)
        self.blocks = nn.Sequential(
            OrderedDict(
                (f"block{number}", _block(inputs, outputs, form))
                for number, (inputs, outputs) in enumerate(zip(entering, form.widths, strict=False), start=1)
            )
        )

    @property
    def smallest_side(self) -> int:
        """Pixels that the shorter side of an image needs."""
        return self.form.smallest_side

    def forward_features(self, grey: Tensor) -> Tensor:
        """Maps (n, d, h', w') of images (n, 1, h, w).

        Raises:
            Mismatch: for images of which nothing would be left.
        """
        height, width = grey.shape[-2:]
        if min(height, width) < self.smallest_side:
            padding = "with" if self.form.padding else "without"
            raise Mismatch(
                f"{len(self.form.widths)} blocks of Model Rx {padding} padding need images whose shorter side has "
                f"{self.smallest_side} px or more, not {width} × {height}",
                remedy="prepare larger images, or choose rx_large_padded (256 px) or rx_lite (46 px)",
            )
        maps: Tensor = self.blocks(grey)
        return maps


def _block(inputs: int, outputs: int, form: Form) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    convolution = layers["conv"] = nn.Conv2d(inputs, outputs, 3, padding=form.padding)
    if form.mended:
        begin_as_he(convolution)
        layers["norm"] = nn.BatchNorm2d(outputs)
    layers["pool"] = nn.MaxPool2d(2)
    layers["relu"] = nn.ReLU()
    return nn.Sequential(layers)


def begin_as_he(layer: nn.Conv2d | nn.Linear) -> None:
    """Normal weights of variance 2 / inputs, which keeps the size of signals through ReLUs (He 2015, equation 10)."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
