"""A detector learns where from boxes, the same from the same seed, and is one network with its trunk in the end."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from osteon.errors import Diverged, Mismatch, TooFewCases, UnknownName
from osteon.evaluate.localisation import iou
from osteon.learn.averaging import Averaging
from osteon.learn.backbones import open_backbone
from osteon.learn.detector.lesions import BoxRule, boxes_of, peak_of
from osteon.learn.detector.network import (
    POOLINGS,
    STRIDES,
    Detector,
    DetectorNetwork,
    Laid,
    LesionHead,
    Lesions,
    Stages,
    detector_on,
)
from osteon.learn.detector.training import DetectorOptions, Wanted, fitted, loss_of, said_of
from osteon.learn.maps import apart, channels_of, maps_of
from osteon.learn.optimisers import AdamW
from osteon.learn.weights import digest_of
from tests.learn.lesions import CHANNELS, SIZE, share_pointed_at, some_examples
from tests.learn.nets import TINY, batch_of, brightness_trunk, grey_image

OPTIONS = DetectorOptions(
    width=16,
    epochs=(15,),
    batch=16,
    optimiser=AdamW(learning_rate=1e-2, weight_decay=0.01),
    average=Averaging(0.9),
)


def a_detector(pooling: str = "attention") -> Detector:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Detector(Laid(CHANNELS), LesionHead(*CHANNELS, width=16, pooling=pooling))


def trained(options: DetectorOptions = OPTIONS, *, images: int = 60, drawn: float = 1.0, seed: int = 0) -> Detector:
    examples, _ = some_examples(images, drawn=drawn)
    return list(fitted(a_detector(options.pooling), examples, np.arange(images), options, seed=seed))[-1][1]


def pointing(detector: Detector) -> float:
    """The pointing game on images that nobody has learnt from."""
    examples, truth = some_examples(40, seed=99)
    _, maps = said_of(detector, examples, np.arange(40))
    return share_pointed_at(np.array([peak_of(one[0], 16, SIZE)[:2] for one in maps]), truth)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_boxes_teach_where_to_look_and_labels_alone_do_not(pooling: str) -> None:
    """The label is given away by a marker: whoever learns from labels alone looks there, or nowhere."""
    with_boxes = trained(replace(OPTIONS, pooling=pooling))
    without = trained(replace(OPTIONS, pooling=pooling, cells=0.0))
    assert pointing(with_boxes) >= 0.9
    assert pointing(without) <= 0.5
    examples, _ = some_examples(40, seed=99)
    for detector in (with_boxes, without):
        odds, _ = said_of(detector, examples, np.arange(40))
        assert ((odds > 0) == (examples.target > 0)).mean() > 0.9


def test_a_few_boxes_are_enough_and_images_without_one_do_not_teach_that_there_is_nothing() -> None:
    assert pointing(trained(images=90, drawn=0.4)) >= 0.9


def test_boxes_are_found_where_and_as_large_as_they_are() -> None:
    options = replace(OPTIONS, epochs=(40,))
    examples, truth = some_examples(40, seed=99)
    _, maps = said_of(trained(options, images=120), examples, np.arange(40))
    there = np.flatnonzero(examples.target)
    shares = [iou(boxes_of(maps[row], 16, SIZE, BoxRule(most=1))[0], truth[[row]])[0, 0] for row in there]
    assert np.mean(shares) > 0.5
    whole = np.array([SIZE[1] / 2 - 15, SIZE[0] / 2 - 15, 30, 30])
    assert np.mean([iou(whole[None], truth[[row]])[0, 0] for row in there]) < 0.1


@pytest.mark.parametrize("target", ["covered", "soft"])
def test_both_kinds_of_target_teach(target: str) -> None:
    assert pointing(trained(replace(OPTIONS, target=target))) >= 0.9


def test_same_seed_same_weights_and_another_seed_others() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (digest_of(trained(seed=s, images=20).state_dict()) for s in (0, 0, 1))
    assert first == again != other
    assert torch.equal(state, torch.random.get_rng_state())


def test_what_is_not_learnt_from_is_not_looked_at() -> None:
    examples, _ = some_examples(40)
    rows = np.arange(24)
    target = np.where(np.arange(40) < 24, examples.target, 1 - examples.target)
    boxes = [*examples.boxes[:24], *[np.array([[0.0, 0, 50, 50]])] * 16]

    def read(asked: np.ndarray, flips: np.ndarray) -> np.ndarray:
        assert (asked < 24).all()
        return examples.read(asked, flips)

    options = replace(OPTIONS, epochs=(2,))
    changed = replace(examples, read=read, target=target, boxes=boxes)
    first, second = (
        next(fitted(a_detector(), given, rows, options, seed=0))[1].state_dict() for given in (examples, changed)
    )
    assert digest_of(first) == digest_of(second)


def test_weights_are_kept_after_each_epoch_asked_for_and_are_an_average() -> None:
    examples, _ = some_examples(20)
    options = replace(OPTIONS, epochs=(1, 3))
    fresh = a_detector()
    kept = [(epoch, digest_of(d.state_dict())) for epoch, d in fitted(fresh, examples, np.arange(20), options, seed=0)]
    assert [epoch for epoch, _ in kept] == [1, 3]
    assert len({digest for _, digest in kept} | {digest_of(fresh.state_dict())}) == 3


def test_the_loss_is_that_of_its_definition() -> None:
    """Cell by cell, by hand: images 0 (boxes), 1 (finding without boxes) and 2 (sound)."""
    rng = np.random.default_rng(0)
    odds, image = rng.normal(size=(3, 2, 2)), rng.normal(size=3)
    wanted = np.zeros((3, 2, 2))
    wanted[0, 0] = 1.0, 0.25
    target, edges = np.array([1.0, 1, 0]), np.full((3, 4, 2, 2), np.nan)
    edges[0, :, 0, 0] = 0.1, 0.2, 0.3, 0.2
    said_edges = np.log(np.full((3, 4, 2, 2), 0.2))
    maps = np.concatenate([odds[:, None], said_edges], axis=1)
    said = Lesions(*(torch.tensor(given, dtype=torch.float32) for given in (maps, image)))
    found = loss_of(
        said,
        torch.tensor(target, dtype=torch.float32),
        Wanted(*(torch.tensor(given, dtype=torch.float32) for given in (wanted, edges))),
        replace(OPTIONS, cells=0.7, focus=2.0, edges=0.5),
    )

    def entropy(z: float, t: float) -> float:
        p = 1 / (1 + np.exp(-z))
        return float(-t * np.log(p) - (1 - t) * np.log(1 - p))

    cells = sum(
        abs(t - 1 / (1 + np.exp(-z))) ** 2 * entropy(z, t)
        for i in (0, 2)
        for z, t in zip(odds[i].ravel(), wanted[i].ravel(), strict=True)
    )
    of_image = np.mean([entropy(z, t) for z, t in zip(image, target, strict=True)])
    # Ours is 0.4 wide and 0.4 high, as is the true one, which lies 0.1 further to the right.
    overlap = 0.3 * 0.4 / (2 * 0.4 * 0.4 - 0.3 * 0.4)
    assert found.item() == pytest.approx(of_image + 0.7 * cells / 1.25 - 0.5 * np.log(overlap), rel=1e-5)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18"])
@pytest.mark.parametrize(("strides", "middle"), [((8,), 8), ((16, 32), 16)])
def test_stages_behind_a_cached_map_give_the_maps_of_the_whole_trunk(
    name: str, strides: tuple[int, ...], middle: int
) -> None:
    # In double precision, since in single precision two threads add up otherwise than one.
    trunk = open_backbone(name, "random").double()
    grey = batch_of(grey_image(64, 96, seed=1), grey_image(64, 96, seed=2)).double()
    with torch.inference_mode():
        fine, coarse = Stages(trunk, strides, middle).train()(maps_of(trunk, grey, strides))
        wanted = apart(maps_of(trunk, grey, STRIDES), STRIDES, channels_of(trunk, STRIDES))
    assert torch.allclose(fine, wanted[0], rtol=0, atol=1e-10)
    assert torch.allclose(coarse, wanted[1], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("strides", "middle"), [((16, 32), 0), ((16, 32), 16), ((8,), 8), ((16,), 16)])
def test_the_network_says_of_images_what_the_detector_says_of_their_maps(strides: tuple[int, ...], middle: int) -> None:
    trunk = open_backbone(TINY, "random")
    before = digest_of(trunk.net.state_dict())
    detector = detector_on(trunk, strides, middle=middle, seed=3, width=8)
    with torch.no_grad():  # as if it had been trained
        for number, parameter in enumerate(detector.parameters()):
            parameter += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
    detector.eval()
    network = DetectorNetwork.of(trunk, detector)
    grey = batch_of(grey_image(64, 96, seed=1), grey_image(64, 96, seed=2))
    with torch.inference_mode():
        wanted = [detector(maps_of(trunk, images, strides)) for images in (grey, grey.flip(-1))]
        said = network.both(grey)
        assert torch.allclose(network.score(grey), (wanted[0].image + wanted[1].image) / 2, atol=1e-5)
    back = wanted[1].maps.flip(-1)
    assert torch.allclose(said.cells, (wanted[0].cells + back[:, 0]) / 2, atol=1e-5)
    assert said.cells.shape == (2, 4, 6)
    # What reaches to the left in a mirror image reaches to the right; what reaches up, up.
    for ours, theirs in ((1, 3), (2, 2), (3, 1), (4, 4)):
        assert torch.allclose(said.maps[:, ours], (wanted[0].maps[:, ours] + back[:, theirs]) / 2, atol=1e-5)
    assert digest_of(trunk.net.state_dict()) == before, "the trunk that was given is left as it was"
    kept = network.trunk.spec
    assert (kept.digest == before) == (middle == 0)
    assert kept.digest == digest_of(network.trunk.net.state_dict())
    assert "lesion map" in network.name and ("trained with boxes" in network.name) == (middle > 0)


def test_training_the_stages_moves_them_and_leaves_their_statistics() -> None:
    trunk = open_backbone(TINY, "random")
    images = np.stack([grey_image(64, 64, seed=i) for i in range(12)])
    with torch.inference_mode():
        grey = torch.from_numpy(images)[:, None].float() / 255
        maps = torch.stack([maps_of(trunk, g, (16,)) for g in (grey, grey.flip(-1))], dim=1).numpy()
    examples, _ = some_examples(12)
    examples = replace(
        examples, read=lambda rows, flips: maps[rows, flips], size=(64, 64), boxes=[np.empty((0, 4))] * 12
    )
    detector = detector_on(trunk, (16,), middle=16, seed=0, width=8)
    tail = copy.deepcopy(detector.tail.state_dict())
    options = replace(OPTIONS, width=8, epochs=(2,), average=Averaging())
    ((_, after),) = fitted(detector, examples, np.arange(12), options, seed=0)
    moved = {name: not torch.equal(tensor, tail[name]) for name, tensor in after.tail.state_dict().items()}
    assert any(moved.values())
    assert not any(there for name, there in moved.items() if "running" in name)
    fixed = {name for name, parameter in detector.tail.named_parameters() if not parameter.requires_grad}
    depthwise = {
        f"{name}.weight"
        for name, module in detector.tail.named_modules()
        if isinstance(module, torch.nn.Conv2d) and module.groups > 1
    }
    assert depthwise <= fixed and len(fixed) < len(moved) / 2
    assert not any(moved[name] for name in fixed)


def test_what_cannot_be_trained_is_refused() -> None:
    examples, _ = some_examples(20)
    with pytest.raises(TooFewCases, match="all 5 images to learn from are of one class"):
        next(fitted(a_detector(), examples, np.arange(0, 10, 2), OPTIONS, seed=0))
    broken = replace(examples, read=lambda rows, flips: np.full((len(rows), 14, 4, 5), np.nan, np.float16))
    with pytest.raises(Diverged, match="epoch 1"):
        next(fitted(a_detector(), broken, np.arange(20), OPTIONS, seed=0))
    with pytest.raises(UnknownName, match="pooling"):
        DetectorOptions(pooling="median")
    with pytest.raises(UnknownName, match="kind of target"):
        DetectorOptions(target="hard")
    for wrong in ({"epochs": ()}, {"epochs": (3, 2)}, {"width": 0}, {"dropout": 1.0}, {"cells": -1.0}):
        with pytest.raises(ValueError, match="not"):
            DetectorOptions(**wrong)  # type: ignore[arg-type]
    for strides, middle in (((4,), 4), ((16, 32), 8), ((8,), 0)):
        with pytest.raises(Mismatch, match=f"no maps at strides of {strides[0]}.* behind a stride of {middle}"):
            detector_on(open_backbone(TINY, "random"), strides, middle=middle, seed=0)
    with pytest.raises(Mismatch, match="gives no maps at strides of 16 and 32"):
        detector_on(brightness_trunk(), STRIDES, seed=0)
