"""Attention-56, the Residual Attention Network of Wang 2017 (arXiv 1704.06904, table 2), for images of any size.

An attention module weights what its trunk branch T finds by a mask M in 0..1 that another branch computes from a wider
surrounding: (1 + M) · T (equation 3), so that a mask of zero leaves the trunk as it is. The paper's settings are p = 1
residual unit before and behind the two branches, t = 2 in the trunk, r = 1 between two poolings of the mask.

The paper's masks are pooled down to 7 × 7 for an image of 224 px, by three, two and one poolings. Here their number is
the same for every image, and what was pooled is interpolated to the size it had, odd ones included.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import interpolate

WIDTH = 2048
"""Channels of the last maps."""

STAGES = ((256, 3), (512, 2), (1024, 1))
"""Channels of each attention module, and poolings in its mask."""

_SQUEEZE = 4  # a unit computes on so many times fewer channels than it takes and gives


class Unit(nn.Module):
    """A bottleneck residual unit with normalisation and ReLU before each convolution (He 2016, arXiv 1603.05027)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        inner = outputs // _SQUEEZE
        self.norm1, self.relu1 = nn.BatchNorm2d(inputs), nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.norm2, self.relu2 = nn.BatchNorm2d(inner), nn.ReLU()
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False)
        self.norm3, self.relu3 = nn.BatchNorm2d(inner), nn.ReLU()
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if (inputs, 1) != (outputs, stride) else None

    def forward(self, maps: Tensor) -> Tensor:
        """(n, inputs, h, w) → (n, outputs, h / stride, w / stride), rounded up."""
        active = self.relu1(self.norm1(maps))
        inner = self.conv2(self.relu2(self.norm2(self.conv1(active))))
        change: Tensor = self.conv3(self.relu3(self.norm3(inner)))
        return change + (maps if self.shortcut is None else self.shortcut(active))


class Surroundings(nn.Module):
    """One pooling of a mask branch with all that lies below it, and the interpolation back to the size before."""

    def __init__(self, channels: int, poolings: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.down = Unit(channels, channels)
        self.skip, self.below = None, None
        if poolings > 1:
            self.skip, self.below = Unit(channels, channels), Surroundings(channels, poolings - 1)
        self.up = Unit(channels, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) → the same shape."""
        inner: Tensor = self.down(self.pool(maps))
        if self.skip is not None and self.below is not None:
            inner = self.skip(inner) + self.below(inner)
        return interpolate(self.up(inner), maps.shape[-2:], mode="bilinear", align_corners=False)


class AttentionModule(nn.Module):
    """Unit → trunk and mask side by side → (1 + M) · T → unit; the shape stays (n, c, h, w)."""

    def __init__(self, channels: int, poolings: int) -> None:
        super().__init__()
        self.before = Unit(channels, channels)
        self.trunk = nn.Sequential(Unit(channels, channels), Unit(channels, channels))
        self.mask = nn.Sequential(
            Surroundings(channels, poolings),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.Sigmoid(),
        )
        self.after = Unit(channels, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) → the same shape."""
        entering = self.before(maps)
        found: Tensor = self.trunk(entering)
        attended: Tensor = self.after((1 + self.mask(entering)) * found)
        return attended


class Attention56(nn.Module):
    """Images (n, channels, h, w) to maps (n, 2048, h', w') at a stride of 32 pixels, rounded up."""

    def __init__(self, channels: int = 1) -> None:
        """`channels`: of the image, 1 for grey; the paper's network takes colour, 3."""
        super().__init__()
        self.conv = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        self.norm, self.relu = nn.BatchNorm2d(64), nn.ReLU()
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        stages: list[nn.Module] = []
        entering = 64
        for number, (width, poolings) in enumerate(STAGES):
            stages += [Unit(entering, width, stride=2 if number else 1), AttentionModule(width, poolings)]
            entering = width
        stages += [Unit(entering, WIDTH, stride=2), Unit(WIDTH, WIDTH), Unit(WIDTH, WIDTH)]
        self.stages = nn.Sequential(*stages)
        self.last_norm, self.last_relu = nn.BatchNorm2d(WIDTH), nn.ReLU()

    def forward_features(self, images: Tensor) -> Tensor:
        """Maps (n, 2048, h', w') of images (n, channels, h, w)."""
        stem = self.pool(self.relu(self.norm(self.conv(images))))
        maps: Tensor = self.last_relu(self.last_norm(self.stages(stem)))
        return maps
