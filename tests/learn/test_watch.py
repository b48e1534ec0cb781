"""A bundle knows the images of its training: it refuses others with the reason, and keeps the guard in its files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.errors import BadTable, Mismatch, OsteonError
from osteon.learn import bundle as plain
from osteon.learn.bank import FeatureBank
from osteon.learn.detector.bundle import DetectorBundle, card, load, save
from osteon.learn.detector.network import MIDDLES, STRIDES, Stages
from osteon.learn.detector.watch import Watch, features_in, rate_for, watched_strides
from osteon.learn.features import extract
from osteon.learn.guard import Guard
from osteon.learn.guarding import features_by, guard_from, parts_named
from osteon.learn.maps import channels_of
from osteon.reader import ready
from osteon.types import Header
from tests.learn import test_bundle
from tests.learn.detectors import a_bundle, a_member, a_network
from tests.learn.nets import batch_of, grey_image, write_images

SIZE, PATIENTS, OTHERS = 96, 44, 5


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], FeatureBank]:
    """Prepared images, one a patient and some that the guard is not told of, and their maps by `a_member`'s trunk."""
    folder = tmp_path_factory.mktemp("material")
    images = write_images(folder / "images", PATIENTS + OTHERS, sizes=((SIZE, SIZE),))
    return images, extract(a_network().trunk, images, folder / "maps", maps=True, strides=STRIDES)


def a_watch(
    material: tuple[dict[str, Path], FeatureBank], strides: tuple[int, ...] = STRIDES, member: int = 0
) -> Watch:
    known, bank = dict(list(material[0].items())[:PATIENTS]), material[1]
    looked = features_in(bank, list(known), channels_of(bank.open_trunk(), STRIDES), strides)
    found = guard_from(looked, list(known.values()), np.arange(PATIENTS), parts=("wrist",))
    assert found.guard is not None and found.limits == ()
    return Watch(found.guard, member, strides)


@pytest.fixture(scope="module")
def saved(material: tuple[dict[str, Path], FeatureBank], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "bundle"
    save(a_bundle(watch=a_watch(material)), folder)
    return folder


@pytest.mark.parametrize("strides", [STRIDES, (16,), (32,)])
def test_a_reading_looks_at_what_the_guard_has_learnt(
    material: tuple[dict[str, Path], FeatureBank], strides: tuple[int, ...]
) -> None:
    """The other road: maps of a whole trunk in a bank; here those of a shortened trunk with rounded weights."""
    images, bank = material
    bundle = a_bundle(a_member(1, SIZE), watch=a_watch(material, strides))
    rows = features_in(bank, list(images)[PATIENTS:], channels_of(bank.open_trunk(), STRIDES), strides)
    for used in (bundle, ready(bundle)):
        assert isinstance(used, DetectorBundle)
        looked = [used.see([grey_image(SIZE, SIZE, seed=PATIENTS + k)]).looks for k in range(OTHERS)]
        assert np.abs(np.array(looked) - rows).max() < 0.02 * rows.std()
    assert bundle.watch is not None
    distance, again = bundle.watch.guard.distance(rows), bundle.watch.guard.distance(np.array(looked))
    assert np.allclose(distance, again, rtol=0.01) and distance.std() > 0


def test_mean_and_maximum_are_those_of_the_maps_at_each_stride(
    material: tuple[dict[str, Path], FeatureBank],
) -> None:
    images, bank = material
    network = a_network()
    channels = channels_of(network.trunk, STRIDES)
    with torch.inference_mode():
        colour = (batch_of(grey_image(SIZE, SIZE)) - network.trunk.mean) / network.trunk.std
        stages = network.trunk.net.forward_intermediates(colour, intermediates_only=True)  # type: ignore[operator]
    by_stride = {SIZE // maps.shape[-1]: maps[0].flatten(1) for maps in stages}
    wanted = torch.cat([torch.cat([by_stride[s].mean(1), by_stride[s].amax(1)]) for s in STRIDES]).numpy()
    found = features_in(bank, list(images)[:1], channels, STRIDES)[0, 0]
    assert np.allclose(found, wanted, atol=5e-3 * np.abs(wanted).max())


def test_a_guard_looks_at_the_finest_maps_that_a_training_left_alone() -> None:
    for cached, middles in MIDDLES.items():
        for middle in middles:
            trained = Stages(a_network().trunk, cached, middle).names if middle else []
            network = a_network(middle=middle) if cached == STRIDES else None
            kept = watched_strides(cached, middle)
            assert kept == ((16,) if not trained or middle == 16 else ())
            if network is None:
                continue
            with torch.inference_mode():
                own = network.detector.tail(maps(network)), network.detector.tail(maps(a_network()))
            same = tuple(s for s, a, b in zip(STRIDES, *own, strict=True) if torch.equal(a, b))
            assert same[:1] == kept


def test_the_rate_is_low_where_there_are_patients_enough_for_its_two_limits() -> None:
    # The limit takes in all but one of n patients in (n + 1) at a chance of 1 / (n + 1): half of 2 % takes 99.
    assert [rate_for(patients) for patients in (5, 98, 99, 5000)] == [0.05, 0.05, 0.02, 0.02]


def maps(network) -> torch.Tensor:
    from osteon.learn.maps import maps_of

    return maps_of(network.trunk, batch_of(grey_image(SIZE, SIZE)), STRIDES)


def test_a_guard_comes_back_with_its_bundle_and_refuses_the_same(
    material: tuple[dict[str, Path], FeatureBank], saved: Path, tmp_path: Path
) -> None:
    bundle, back = a_bundle(watch=a_watch(material)), load(saved)
    assert bundle.watch is not None and back.watch is not None
    assert back.watch.to_json() == bundle.watch.to_json()
    shown = {
        "": (grey_image(SIZE, SIZE, seed=3), Header(body_part="WRIST")),
        "body_part": (grey_image(SIZE, SIZE, seed=3), Header(body_part="CHEST")),
        "blank": (np.full((SIZE, SIZE), 90, np.uint8), Header()),
        "unfamiliar": (np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), dtype=np.uint8), Header()),
    }
    for code, (image, header) in shown.items():
        for one in (bundle, back):
            why = one.why_not([image], one.see([image]), header)
            assert (why.code if why else "") == code
    save(back, tmp_path / "again")
    for name in ("bundle.json", "weights.safetensors", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()
    assert "Reads radiographs of wrist that are like its 44 images of 44 patients" in card(back)


def test_bundles_without_a_guard_are_what_they_were_and_refuse_nothing(tmp_path: Path) -> None:
    save(a_bundle(), tmp_path / "without")
    assert "guard" not in (tmp_path / "without" / "bundle.json").read_text()
    assert "Guard" not in (tmp_path / "without" / "README.md").read_text()
    back, blank = load(tmp_path / "without"), np.full((SIZE, SIZE), 90, np.uint8)
    assert back.watch is None and back.see([blank]).looks is None
    assert back.why_not([blank], back.see([blank]), Header(body_part="CHEST")) is None


def test_the_guard_of_an_ensemble_looks_at_its_own_member(material: tuple[dict[str, Path], FeatureBank]) -> None:
    other, own = a_member(0, 128, middle=16), a_member(1, SIZE)
    bundle = a_bundle(other, own, watch=a_watch(material, member=1))
    image, larger = grey_image(SIZE, SIZE, seed=3), np.zeros((128, 128), np.uint8)
    sight = bundle.see([larger, image])
    alone = a_bundle(own, watch=a_watch(material)).see([image])
    assert np.array_equal(sight.looks, alone.looks)
    assert bundle.why_not([larger, image], sight, Header()) is None  # the first is blank, and nobody asks


@settings(max_examples=60)
@given(data=st.data())
def test_no_value_of_a_stored_guard_ends_in_a_traceback(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = json.loads((saved / "bundle.json").read_text())
    name = data.draw(st.sampled_from(sorted(content["guard"])))
    if data.draw(st.booleans()):
        content["guard"][name] = data.draw(test_bundle.JSON)
    else:
        del content["guard"][name]
    folder = tmp_path_factory.mktemp("wrong")
    shutil.copy(saved / "weights.safetensors", folder)
    (folder / "bundle.json").write_text(json.dumps(content))
    try:
        assert load(folder).watch is not None  # numbers of the right kind cannot be told
    except OsteonError as refused:
        assert refused.remedy


def test_a_guard_of_other_maps_is_refused(material: tuple[dict[str, Path], FeatureBank], saved: Path) -> None:
    watch = a_watch(material)
    for wrong in (replace(watch, strides=(16,)), replace(watch, member=1)):
        with pytest.raises(ValueError, match=r"the guard (knows|looks)"):
            a_bundle(watch=wrong)
    for strides in ((), (8,)):
        with pytest.raises(ValueError, match="strides among"):
            replace(watch, strides=strides)
    described = json.loads((saved / "bundle.json").read_text())
    described["guard"] = [1]
    folder = saved.parent / "wrong"
    shutil.copytree(saved, folder)
    (folder / "bundle.json").write_text(json.dumps(described))
    with pytest.raises((BadTable, Mismatch)):
        load(folder)


def test_a_classifier_keeps_its_guard_too(material: tuple[dict[str, Path], FeatureBank], tmp_path: Path) -> None:
    images = list(material[0].values())
    bundle = test_bundle.a_bundle(size=(SIZE, SIZE))
    rows = features_by(bundle.classifier, images)
    found = guard_from(rows, images, np.arange(len(images)), taught=True)
    assert found.guard is not None
    plain.save(replace(bundle, guard=found.guard), tmp_path / "with")
    back = plain.load(tmp_path / "with")
    assert back.guard is not None and back.guard.to_json() == found.guard.to_json()
    assert np.array_equal(back.guard.distance(rows), found.guard.distance(rows))
    assert "may find those of new patients stranger" in plain.card(back)
    plain.save(bundle, tmp_path / "without")
    assert "guard" not in (tmp_path / "without" / "bundle.json").read_text()
    assert plain.load(tmp_path / "without").guard is None
    with pytest.raises(ValueError, match="the guard knows 7 features"):
        replace(bundle, guard=a_guard_of(7))


def a_guard_of(d: int) -> Guard:
    eye = np.eye(1, d, dtype=np.float32)
    return Guard(np.zeros(d, np.float32), np.ones(d, np.float32), eye, 1.0, 0.0, (), 0.05, 40, 40)


def test_too_few_patients_leave_no_guard_and_a_sentence_for_the_card(
    material: tuple[dict[str, Path], FeatureBank],
) -> None:
    images = list(material[0].values())[:PATIENTS]
    found = guard_from(np.zeros((PATIENTS, 2, 8)), images, np.arange(PATIENTS) // 2)
    assert found.guard is None
    assert found.limits == (
        "Nothing keeps it from answering on images of another kind: 22 patients are too few for a guard that refuses "
        "0.05 of them by mistake.",
    )


def test_a_guard_knows_parts_only_where_files_name_theirs() -> None:
    named = pd.DataFrame({"resolved_part": ["wrist"] * 8 + ["hand", ""]})
    assert parts_named(named) == ("hand", "wrist")
    assert parts_named(named.assign(resolved_part=["wrist"] * 8 + ["", ""])) == ()
    assert parts_named(named.drop(columns="resolved_part")) == ()
