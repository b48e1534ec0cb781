from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from osteon import files
from osteon.dataset.steps import RECIPES, FitSquare
from osteon.errors import BadTable, CannotWrite, Mismatch, NotFound, OsteonError, UnknownName
from osteon.learn.backbones import open_backbone
from osteon.learn.bundle import Bundle, Figure, Origin, card, load, save
from osteon.learn.fuse import fused
from osteon.learn.heads import LINEAR, RX, Classifier, HeadForm
from osteon.types import Calibration, Estimate
from tests.learn.nets import TINY, batch_of, grey_image, largest_file

ORIGIN = Origin(
    data="Phantom wrists: 60 patients, 120 images, 40 % fractured.",
    commit="abc1234",
    how="Logistic regression, C = 0.01.",
    figures=(
        Figure("AUROC, mean of 5 folds", Estimate(0.91, 0.85, 0.96, 120), Estimate(0.62, 0.5, 0.7, 120), "tags"),
        Figure("AUROC with hardware", Estimate(math.nan, note="one class only")),
    ),
    limits=("It was never shown a child.",),
)


def a_bundle(*, seed: int = 0, **changes: Any) -> Bundle:
    trunk = open_backbone(TINY, "random", seed=seed)
    weight = np.random.default_rng(seed).normal(size=2 * trunk.spec.d)
    whole = Bundle(
        classifier=Classifier.from_linear(trunk, weight, 0.25).eval(),
        recipe=RECIPES["ANY"],
        task="fracture",
        calibration=Calibration(slope=1.2, intercept=-0.3, n=120, prevalence=0.4),
        thresholds={"youden": 0.41, "sensitivity_0.90": 0.2},
        size=(448, 448),
        origin=ORIGIN,
    )
    return replace(whole, **changes)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "bundle"
    save(a_bundle(), folder)
    return folder


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    bundle = a_bundle(recipe=(FitSquare(96),), size=(96, 80), operating_point="sensitivity_0.90")
    digest = save(bundle, tmp_path / "bundle").digest
    back = load(tmp_path / "bundle", "fracture")
    images = batch_of(grey_image(), grey_image(seed=1))
    with torch.inference_mode():
        assert torch.equal(back.classifier.score(images), bundle.classifier.score(images))
    for name in ("recipe", "task", "calibration", "thresholds", "size", "operating_point"):
        assert getattr(back, name) == getattr(bundle, name), name
    assert back.classifier.trunk.spec == bundle.classifier.trunk.spec
    assert repr(back.origin) == repr(bundle.origin)  # by repr, for NaN is not equal to NaN
    assert digest == back.digest == files.digest_of(tmp_path / "bundle" / "bundle.json")
    assert not any(module.training for module in back.classifier.modules())


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("rx_lite", RX),
        ("rx_lite", LINEAR),
        ("rx_large_normalised", HeadForm(hidden=(16,))),
        ("attention56", HeadForm(grid=1, dropout=0.4)),
        ("test_vit", RX),
    ],
)
def test_every_kind_of_network_and_head_comes_back(name: str, form: HeadForm, tmp_path: Path) -> None:
    classifier = Classifier(open_backbone(name, "random"), form=form, seed=2).eval()
    with torch.no_grad():
        for weight in classifier.head.parameters():
            weight.add_(0.01)  # a fresh linear head is all zeros
    save(a_bundle(classifier=classifier), tmp_path / "bundle")
    back = load(tmp_path / "bundle")
    side = max(64, getattr(classifier.trunk.net, "smallest_side", 0))
    images = batch_of(grey_image(side, side + 8))
    with torch.inference_mode():
        assert torch.equal(back.classifier.score(images), classifier.score(images))
    assert back.classifier.form == form and back.classifier.trunk.spec == classifier.trunk.spec
    assert ("head_form" in json.loads((tmp_path / "bundle" / "bundle.json").read_text())) == (form != LINEAR)
    assert f"Head: {form}." in card(back)
    hidden = ["a linear head", "a head with 1 hidden layer ", "a head with 2 hidden layers "][len(form.hidden)]
    assert hidden in back.describe()


def test_a_form_that_is_not_that_of_the_weights_is_refused(tmp_path: Path) -> None:
    classifier = Classifier(open_backbone(TINY, "random"), form=HeadForm(grid=2, hidden=(8,)))
    save(a_bundle(classifier=classifier), tmp_path / "bundle")
    path = tmp_path / "bundle" / "bundle.json"
    content = json.loads(path.read_text())
    for change in ({"grid": 1}, {"hidden": [9]}, {"hidden": []}, {"hidden": [65536] * 9, "grid": 64}):
        path.write_text(json.dumps(content | {"head_form": content["head_form"] | change}))
        with pytest.raises(Mismatch, match="does not fit"):
            load(tmp_path / "bundle")
    for wrong in ({}, {"grid": -1}, {"hidden": "8"}, {"hidden": [10**30]}, []):
        form = content["head_form"] | wrong if isinstance(wrong, dict) and wrong else wrong
        path.write_text(json.dumps(content | {"head_form": form}))
        with pytest.raises((BadTable, Mismatch)):
            load(tmp_path / "bundle")


def test_the_same_bundle_gives_the_same_bytes(tmp_path: Path) -> None:
    save(a_bundle(), tmp_path / "one")
    save(a_bundle(), tmp_path / "two")
    save(load(tmp_path / "one"), tmp_path / "three")
    assert len({files.digest_of(tmp_path / name) for name in ("one", "two", "three")}) == 1
    assert save(a_bundle(seed=1), tmp_path / "four").digest != save(a_bundle(), tmp_path / "one").digest


def test_loading_needs_no_network_and_leaves_the_generator_alone(saved: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    load(saved)
    assert torch.equal(before, torch.get_rng_state())


def test_a_bundle_of_another_task_is_refused(saved: Path) -> None:
    with pytest.raises(Mismatch, match="answers “fracture”, not “rust”"):
        load(saved, "rust")


def test_no_file_of_a_bundle_can_be_exchanged(saved: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save(a_bundle(seed=1), other)
    mixed = tmp_path / "mixed"
    shutil.copytree(saved, mixed)
    shutil.copy(other / "weights.safetensors", mixed / "weights.safetensors")
    with pytest.raises(Mismatch, match="SHA-256"):
        load(mixed)
    (mixed / "weights.safetensors").unlink()
    with pytest.raises(NotFound, match=r"weights\.safetensors"):
        load(mixed)
    with pytest.raises(NotFound, match="osteon train"):
        load(tmp_path / "nowhere")


def rewritten(source: Path, target: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """A copy of a bundle with other weights, whose digest of the file is right again."""
    shutil.copytree(source, target)
    tensors = load_file(target / "weights.safetensors")
    change(tensors)
    save_file(tensors, target / "weights.safetensors")
    content = json.loads((target / "bundle.json").read_text())
    content["weights_sha256"] = files.digest_of(target / "weights.safetensors")
    (target / "bundle.json").write_text(json.dumps(content))
    return target


def test_weights_that_do_not_fit_are_refused(saved: Path, tmp_path: Path) -> None:
    def without_bias(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["head.bias"]

    def short_head(tensors: dict[str, torch.Tensor]) -> None:
        tensors["head.weight"] = tensors["head.weight"][:, 1:].contiguous()

    def changed_trunk(tensors: dict[str, torch.Tensor]) -> None:
        next(t for name, t in tensors.items() if name.endswith("conv1.weight")).mul_(2)

    for change, message in (
        (without_bias, "lacks bias"),
        (short_head, "another shape for weight"),
        (changed_trunk, "does not hold the weights"),
    ):
        with pytest.raises(Mismatch, match=message):
            load(rewritten(saved, tmp_path / change.__name__, change))


def test_a_trunk_that_is_not_what_it_says_is_not_saved(tmp_path: Path) -> None:
    bundle = a_bundle()
    with torch.no_grad():
        next(bundle.classifier.trunk.parameters()).add_(1)
    with pytest.raises(Mismatch, match="mark_trained"):
        save(bundle, tmp_path / "bundle")
    folded = a_bundle()
    with pytest.raises(Mismatch):
        save(replace(folded, classifier=Classifier(fused(folded.classifier.trunk))), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    bundle.classifier.trunk.mark_trained("fine-tuned, 1 epoch")
    save(bundle, tmp_path / "bundle")
    assert "fine-tuned, 1 epoch" in str(load(tmp_path / "bundle").classifier.trunk.spec)


def test_another_format_says_so(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(saved, folder)
    content = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(content | {"format": 2}))
    with pytest.raises(Mismatch, match="format 2"):
        load(folder)
    for text in ("", "[]", "{}", "{", '{"format": 1}', "null", "\x00"):
        (folder / "bundle.json").write_text(text)
        with pytest.raises(BadTable):
            load(folder)


def leaves(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside JSON content, containers too."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [*([path] if path else []), *(p for key, value in inner for p in leaves(value, (*path, key)))]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=120)
@given(data=st.data())
def test_no_value_in_the_description_ends_in_a_traceback(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = json.loads((saved / "bundle.json").read_text())
    *where, last = data.draw(st.sampled_from(leaves(content)))
    place = content
    for key in where:
        place = place[key]
    if data.draw(st.booleans()):
        place[last] = data.draw(JSON)
    else:
        del place[last]
    folder = tmp_path_factory.mktemp("wrong")
    shutil.copy(saved / "weights.safetensors", folder)
    (folder / "bundle.json").write_text(json.dumps(content))
    try:
        assert isinstance(load(folder), Bundle)  # free text, and numbers of the right kind, cannot be told from others
    except OsteonError as refused:
        assert refused.remedy


@settings(max_examples=40)
@given(data=st.data())
def test_no_damage_to_the_weights_goes_unseen(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray((saved / "weights.safetensors").read_bytes())
    place, mask = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    content[place] ^= mask
    cut = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    folder = tmp_path_factory.mktemp("wrong")
    shutil.copy(saved / "bundle.json", folder)
    (folder / "weights.safetensors").write_bytes(content[:cut])
    with pytest.raises(Mismatch, match="SHA-256"):
        load(folder)


def test_a_bundle_is_checked_at_birth() -> None:
    with pytest.raises(UnknownName, match="fracture"):
        a_bundle(task="colour")
    with pytest.raises(UnknownName, match="youden"):
        a_bundle(operating_point="best")
    for changes in (
        {"thresholds": {"youden": math.nan}},
        {"calibration": Calibration(math.inf, 0.0, 1, 0.5)},
        {"size": (0, 448)},
    ):
        with pytest.raises(ValueError, match=r"number|positive"):
            a_bundle(**changes)


def test_a_failed_save_leaves_the_earlier_bundle(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    save(a_bundle(), folder)
    before = files.digest_of(folder)
    bad = replace(ORIGIN, data=object())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        save(a_bundle(origin=bad), folder)
    with largest_file(1000), pytest.raises(CannotWrite):
        save(a_bundle(seed=1), folder)
    assert files.digest_of(folder) == before
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_says_what_it_is(saved: Path) -> None:
    bundle = load(saved)
    assert "0.910 (0.850 to 0.960), best floor 0.620 (0.500 to 0.700)" in bundle.describe()
    assert "nothing measured" in a_bundle(origin=Origin()).describe()
    assert "120 images, 40% of them" in bundle.calibration_note
    text = (saved / "README.md").read_text()
    assert text == card(bundle)
    for said in ("not a medical device", "never shown a child", "(tags)", "one class only", "youden (used)", "abc1234"):
        assert said in text, said
    assert "Nothing yet." in card(a_bundle(origin=Origin()))


def test_nothing_in_a_bundle_is_code(saved: Path) -> None:
    assert sorted(p.name for p in saved.iterdir()) == ["README.md", "bundle.json", "weights.safetensors"]
    length = int.from_bytes((saved / "weights.safetensors").read_bytes()[:8], "little")
    header = json.loads((saved / "weights.safetensors").read_bytes()[8 : 8 + length])
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} <= {"F32", "I64"}
