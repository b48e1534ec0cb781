"""A reading is what training would have said of the same file, and a study is no better known than its images."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from osteon import files, reader
from osteon.dataset.frame import frame_of, render
from osteon.dataset.ingest import ingest
from osteon.dataset.pipeline import prepare
from osteon.dataset.placement import Placement
from osteon.dataset.prepared import pixels_of
from osteon.dataset.steps import ColourInversion, FitSquare, apply
from osteon.dicom.read import read as read_radiograph
from osteon.learn.backbones import Trunk, open_backbone
from osteon.learn.bundle import Bundle, Origin
from osteon.learn.detector.lesions import on_file
from osteon.learn.detector.network import STRIDES
from osteon.learn.detector.watch import Watch, looks
from osteon.learn.features import extract
from osteon.learn.guarding import features_by, guard_from
from osteon.learn.heads import Classifier
from osteon.learn.logistic import LinearHead
from osteon.learn.maps import channels_of, maps_of
from osteon.tasks import FRACTURE
from osteon.types import Calibration
from tests.dicom.making import a_dataset, a_file, stored_values
from tests.learn import detectors
from tests.learn.nets import TINY
from tests.make import a_radiograph

RECIPE = (ColourInversion(), FitSquare(96))
CALIBRATION = Calibration(slope=0.8, intercept=0.2, n=120, prevalence=0.4)


def a_trunk() -> Trunk:
    return open_backbone(TINY, "random", seed=1)


def a_head(trunk: Trunk) -> LinearHead:
    return LinearHead(np.random.default_rng(0).normal(size=2 * trunk.spec.d), 0.1)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    trunk = a_trunk()
    return Bundle(
        classifier=Classifier.from_linear(trunk, a_head(trunk).weight, a_head(trunk).bias).eval(),
        recipe=RECIPE,
        task="fracture",
        calibration=CALIBRATION,
        thresholds={"youden": 0.4},
        size=(96, 96),
        origin=Origin(data="120 phantom radiographs of 60 patients."),
    )


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    """Files that take every turn on the way: 8 and 16 bits, odd sizes, shrunk and enlarged, bone shown dark."""
    folder = tmp_path / "study"
    folder.mkdir()
    cv2.imwrite(str(folder / "shrunk.png"), a_radiograph(301, 203, seed=1).pixels)
    cv2.imwrite(str(folder / "enlarged.png"), a_radiograph(64, 51, bits=16, seed=2).pixels)
    cv2.imwrite(str(folder / "dark.png"), a_radiograph(240, 150, inverted=True, seed=3).pixels)
    shown_inverse = a_dataset(stored_values(151, 90), bits=12, PhotometricInterpretation="MONOCHROME1")
    (folder / "inverse.dcm").write_bytes(a_file(shown_inverse))
    return sorted(folder.iterdir())


def test_a_reading_is_the_calibrated_score_of_the_features_in_the_bank(
    bundle: Bundle, study: list[Path], tmp_path: Path
) -> None:
    """The other road: the files go through ingest, prepare and features, and the head is applied to the bank."""
    folder = study[0].parent
    with ThreadPoolExecutor(1) as pool:
        manifest = ingest(folder, None, task=FRACTURE, executor=pool).manifest
        prepared = prepare(manifest, folder, RECIPE, tmp_path / "prepared", executor=pool).manifest
    images = {row.image: tmp_path / "prepared" / "images" / row.prepared for row in prepared.itertuples()}
    features = extract(a_trunk(), images, tmp_path / "bank").array(list(images))
    expected = dict(zip(images, CALIBRATION(a_head(a_trunk())(features)), strict=True))

    for used in (bundle, reader.ready(bundle)):
        reading = reader.read(study, used)
        found = {image.image: image.findings[0].probability for image in reading.images}
        assert found == pytest.approx(expected, abs=1e-4)
        assert np.ptp(list(expected.values())) > 0.01  # files that all look alike would prove nothing
        assert reading.refusals == ()


def test_a_study_takes_its_largest_probability_and_says_what_that_does(bundle: Bundle, study: list[Path]) -> None:
    whole, single = reader.read(study, bundle), reader.read(study[:1], bundle)
    assert whole.finding is not None and single.finding is not None
    assert whole.finding.probability == max(image.findings[0].probability for image in whole.images)
    assert single.finding.probability == whole.images[0].findings[0].probability
    assert "largest of its images" in whole.note and "largest of its images" not in single.note


def test_a_reading_says_on_what_data_it_rests(bundle: Bundle, study: list[Path]) -> None:
    note = reader.read(study[:1], bundle).note
    assert "Calibrated on 120 images" in note and "120 phantom radiographs of 60 patients." in note


@pytest.mark.parametrize("above", [True, False])
def test_the_decision_is_positive_from_the_cut_off_on(bundle: Bundle, study: list[Path], above: bool) -> None:
    found = reader.read(study, bundle).finding
    assert found is not None
    cut = found.probability if above else float(np.nextafter(found.probability, 1))
    reading = reader.read(study, replace(bundle, thresholds={"youden": cut}))
    assert reading.decision == (FRACTURE.positive if above else FRACTURE.negative)


def test_a_file_that_cannot_be_read_is_refused_and_hides_no_other(
    bundle: Bundle, study: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "notes.txt"
    broken.write_text("not a radiograph")
    reading = reader.read([broken, study[0]], bundle)
    assert [refusal.code for refusal in reading.refusals] == ["not_an_image"]
    assert [image.path for image in reading.images] == [str(study[0])]
    nothing = reader.read([broken], bundle)
    assert (nothing.finding, nothing.decision, nothing.images) == (None, "not read", ())


def test_overlays_are_named_by_what_was_read_not_by_its_file_name(
    bundle: Bundle, study: list[Path], tmp_path: Path
) -> None:
    reading = reader.read(study, bundle, overlays=tmp_path / "overlays")
    names = [image.overlay for image in reading.images]
    assert sorted(p.name for p in (tmp_path / "overlays").iterdir()) == sorted(names)
    assert names == [f"{files.digest_of(path)[:32]}-0.png" for path in study]


def test_a_detector_reads_a_study_with_boxes_on_each_file(study: list[Path], tmp_path: Path) -> None:
    detector = detectors.a_bundle(detectors.a_member(0), detectors.a_member(1, 128))
    reading = reader.read(study, detector, overlays=tmp_path / "overlays")
    assert reading.finding is not None and reading.finding.boxes == ()
    probabilities = []
    for path, image in zip(study, reading.images, strict=True):
        radiograph = read_radiograph(path)
        shown = [apply(recipe, radiograph)[0] for recipe in detector.recipes]
        sight = detector.see([render(one) for one in shown])
        (finding,) = image.findings
        assert finding.probability == sight.probability
        wanted = on_file(sight.corners, sight.scores, Placement.of(frame_of(shown[0])), radiograph.pixels.shape)
        assert finding.boxes == wanted
        probabilities.append(finding.probability)
        assert cv2.imread(str(tmp_path / "overlays" / image.overlay)).shape == (96, 96, 3)
    assert any(image.findings[0].boxes for image in reading.images)
    assert reading.finding.probability == max(probabilities)
    assert "120 images" in reading.note and "CC BY 4.0" in reading.note and "largest of its images" in reading.note


def test_many_studies_are_read_as_each_of_them_is(study: list[Path], tmp_path: Path) -> None:
    detector = detectors.a_bundle()
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n no more")
    studies = [study[:2], [broken], [*study[2:], broken]]
    told: list[tuple[int, int]] = []
    whole = reader.read_all(studies, detector, workers=1, threads=2, progress=lambda *now: told.append(now))
    assert whole == [reader.read(one, detector) for one in studies]
    assert [[r.code for r in one.refusals] for one in whole] == [[], ["undecodable"], ["undecodable"]]
    assert whole[1].finding is None and told[-1] == (6, 6)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Prepared images, one a patient, that a guard learns from."""
    folder = tmp_path_factory.mktemp("taught")
    paths = [folder / f"{seed}.png" for seed in range(45)]
    for seed, path in enumerate(paths):
        cv2.imwrite(str(path), render(apply(RECIPE, a_radiograph(301, 203, seed=100 + seed))[0]))
    return paths


def with_guard(model: reader.Model, taught: list[Path]) -> reader.Model:
    """The model with a guard that knows radiographs of wrists."""
    if isinstance(model, Bundle):
        rows = features_by(model.classifier, taught)
        found = guard_from(rows, taught, np.arange(len(taught)), parts=("wrist",))
        return replace(model, guard=found.guard)
    member = model.members[0].network
    images = torch.stack([torch.from_numpy(pixels_of(path)) for path in taught])[:, None] / 255.0
    with torch.inference_mode():
        both = [maps_of(member.trunk, one, STRIDES) for one in (images, images.flip(-1))]
        rows = torch.stack([looks(one, STRIDES, channels_of(member.trunk, STRIDES), STRIDES) for one in both], dim=1)
    found = guard_from(rows.numpy(), taught, np.arange(len(taught)), parts=("wrist",))
    assert found.guard is not None
    return replace(model, watch=Watch(found.guard, 0, STRIDES))


@pytest.mark.parametrize("kind", ["classifier", "detector"])
def test_what_the_guard_refuses_is_not_read_and_hides_no_other(
    bundle: Bundle, taught: list[Path], tmp_path: Path, kind: str
) -> None:
    own, chest, noise = (tmp_path / name for name in ("own.png", "chest.dcm", "noise.png"))
    cv2.imwrite(str(own), a_radiograph(301, 203, seed=1).pixels)
    chest.write_bytes(a_file(a_dataset(stored_values(151, 90), bits=12, BodyPartExamined="CHEST")))
    cv2.imwrite(str(noise), np.random.default_rng(0).integers(0, 256, (301, 203), dtype=np.uint8))
    plain: reader.Model = bundle if kind == "classifier" else detectors.a_bundle(detectors.a_member(0))
    model = with_guard(plain, taught)
    assert reader.read([own, chest, noise], plain).refusals == ()
    for used in (model, reader.ready(model)):
        reading = reader.read([own, chest, noise], used, overlays=tmp_path / "overlays")
        assert [(Path(r.path).name, r.code) for r in reading.refusals] == [
            ("chest.dcm", "body_part"),
            ("noise.png", "unfamiliar"),
        ]
        assert "names the chest, and the model learnt from wrist" in reading.refusals[0].reason
        assert all(refusal.remedy for refusal in reading.refusals)
        assert [image.path for image in reading.images] == [str(own)] and reading.finding is not None
        assert reading.finding.probability == pytest.approx(
            reader.read([own], plain).images[0].findings[0].probability, abs=1e-4
        )
    assert len(list((tmp_path / "overlays").iterdir())) == 1, "of what is not read, nothing is drawn"
    (apart,) = reader.read_all([[own, chest, noise]], model, workers=1)
    assert apart.refusals == reading.refusals
    nothing = reader.read([chest, noise], model)
    assert (nothing.finding, nothing.decision, nothing.images) == (None, "not read", ())
