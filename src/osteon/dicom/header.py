"""What a data set says of its image besides the pixels: `Header`, with spacing, side, view and age made uniform."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from osteon.dicom.attributes import Attributes
from osteon.types import LATERALITIES, Header

RADIOGRAPHS = ("CR", "DX", "RF", "RG")
"""Modalities that osteon takes for radiographs: computed and digital radiography, fluoroscopy stills, film."""

_MODALITY_OF_CLASS: Mapping[str, str] = {
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "DX",  # for processing
    "1.2.840.10008.5.1.4.1.1.12.2": "RF",
}
"""SOP classes that imply a modality (PS3.4 B.5), for files without the attribute."""

_VIEW_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("AP", "A/P", "ANTEROPOSTERIOR", "ANTERO-POSTERIOR"), "AP"),
    **dict.fromkeys(("PA", "P/A", "POSTEROANTERIOR", "POSTERO-ANTERIOR"), "PA"),
    **dict.fromkeys(("LAT", "LATERAL", "LL", "RL", "LLAT", "RLAT", "ML", "LM"), "LAT"),
    **dict.fromkeys(("OBL", "OBLIQUE", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO"), "OBL"),
}
"""Values of ViewPosition (PS3.3 C.8.11.5.1.1) and common spellings. Decubitus (LLD, RLD) names no projection."""

_VIEW_CODES: Mapping[str, str] = {
    **dict.fromkeys(("399348003", "R-10206"), "AP"),
    **dict.fromkeys(("272479007", "R-10214", "R-40888"), "PA"),
    # lateral, left and right lateral, latero-medial, medio-lateral
    **dict.fromkeys(("399067008", "399173006", "399198007", "399352003", "399260004"), "LAT"),
    **dict.fromkeys(("R-102CD", "R-10236", "R-10232", "R-10228", "R-10224"), "LAT"),
    # oblique of any kind: plain, AP, PA, frontal, lateral, medial, LM, ML, LAO, LPO, RAO, RPO, left, right
    **dict.fromkeys(("399182000", "399312000", "399059000", "399160007", "260427002", "260426006"), "OBL"),
    **dict.fromkeys(("399099002", "399368009", "399135007", "399006002", "399356000", "399038007"), "OBL"),
    **dict.fromkeys(("399184004", "399236003", "R-102C1", "R-10208", "R-10216", "R-10204", "R-40783"), "OBL"),
    **dict.fromkeys(("R-40782", "R-10230", "R-10226", "R-10220", "R-10212", "R-40985", "R-10210"), "OBL"),
    **dict.fromkeys(("R-10238", "R-10234"), "OBL"),
}
"""Code values of ViewCodeSequence: context group 4010 (DX View, PS3.16) in SNOMED CT and in its older SRT form."""

_YEARS_PER_UNIT = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def header_of(attributes: Attributes, *, bits: int, transfer_syntax: str) -> Header:
    """The header of a data set; what contradicts itself or cannot be read becomes a note."""
    spacing, source = spacing_of(attributes)
    maker = (attributes.text("Manufacturer"), attributes.text("ManufacturerModelName"))
    header = Header(
        patient=attributes.text("PatientID"),
        study=attributes.text("StudyInstanceUID"),
        series=attributes.text("SeriesInstanceUID"),
        instance=attributes.text("SOPInstanceUID"),
        accession=attributes.text("AccessionNumber"),
        date=date_of(attributes),
        modality=modality_of(attributes),
        body_part=attributes.text("BodyPartExamined"),
        study_description=attributes.text("StudyDescription"),
        series_description=attributes.text("SeriesDescription"),
        protocol_name=attributes.text("ProtocolName"),
        view=view_of(attributes),
        laterality=laterality_of(attributes),
        sex=_sex(attributes),
        age_years=age_of(attributes),
        device=" ".join(part for part in maker if part),
        photometric=attributes.text("PhotometricInterpretation").upper(),
        transfer_syntax=transfer_syntax,
        bits=bits,
        spacing_mm=spacing,
        spacing_source=source,
    )
    if attributes.text("PresentationIntentType").upper() == "FOR PROCESSING":
        attributes.note("the image is FOR PROCESSING: its maker did not prepare it for viewing")
    return header


def modality_of(attributes: Attributes) -> str:
    """Modality as the file states it; where it states none, that of its SOP class; "" if that names none."""
    return attributes.text("Modality").upper() or _MODALITY_OF_CLASS.get(attributes.text("SOPClassUID"), "")


def spacing_of(attributes: Attributes) -> tuple[tuple[float, float] | None, str]:
    """Millimetres between rows and between columns, and the attribute they come from (PS3.3 10.7.1).

    1. PixelSpacing, if a calibration type is given or it differs from the detector's spacing: then it was calibrated.
    2. ImagerPixelSpacing divided by EstimatedRadiographicMagnificationFactor: the plane of the patient, estimated.
    3. ImagerPixelSpacing: the front of the detector; bones are magnified.
    4. NominalScannedPixelSpacing: the film.
    5. PixelSpacing alone: calibrated or not, the file does not say.
    """
    patient = _pair(attributes, "PixelSpacing")
    imager = _pair(attributes, "ImagerPixelSpacing")
    film = _pair(attributes, "NominalScannedPixelSpacing")
    calibration = attributes.text("PixelSpacingCalibrationType").upper()
    detector = imager or film
    if patient and (calibration or (detector and patient != detector)):
        return patient, f"PixelSpacing ({calibration or 'calibrated'})"
    magnification = attributes.number("EstimatedRadiographicMagnificationFactor")
    if imager and magnification is not None and 1 <= magnification <= 10:
        spacing = (imager[0] / magnification, imager[1] / magnification)
        return spacing, "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor"
    if imager:
        return imager, "ImagerPixelSpacing"
    if film:
        return film, "NominalScannedPixelSpacing"
    return (patient, "PixelSpacing") if patient else (None, "")


def _pair(attributes: Attributes, keyword: str) -> tuple[float, float] | None:
    numbers = attributes.numbers(keyword)
    if not numbers:
        return None
    if len(numbers) != 2 or not all(0 < n < 100 for n in numbers):
        attributes.note(f"{keyword} is {', '.join(f'{n:g}' for n in numbers[:4])} and was ignored")
        return None
    return numbers[0], numbers[1]


def view_of(attributes: Attributes) -> str:
    """One of `osteon.types.VIEWS`, from ViewPosition, else from ViewCodeSequence; "" if neither names one."""
    word = attributes.text("ViewPosition").upper()
    by_word = _VIEW_WORDS.get(word.replace(" ", ""), "")
    codes = [item.text("CodeValue").upper() for item in attributes.items("ViewCodeSequence")]
    by_code = next((_VIEW_CODES[code] for code in codes if code in _VIEW_CODES), "")
    if by_word and by_code and by_word != by_code:
        attributes.note(f"ViewPosition ({by_word}) contradicts the view code ({by_code}); the position counts")
    return by_word or by_code


def laterality_of(attributes: Attributes) -> str:
    """L, R or B from ImageLaterality, else from Laterality (of the series); "" if unpaired or unknown."""
    image, series = (attributes.text(keyword).upper()[:1] for keyword in ("ImageLaterality", "Laterality"))
    if image in LATERALITIES and series in LATERALITIES and image != series:
        attributes.note(f"ImageLaterality {image} contradicts Laterality {series}; the image counts")
    return next((side for side in (image, series) if side in LATERALITIES), "")


def date_of(attributes: Attributes) -> str:
    """StudyDate as YYYYMMDD (PS3.5 6.2, DA); anything else is noted and ignored."""
    text = attributes.text("StudyDate").replace(".", "")  # ACR-NEMA wrote points
    try:
        if text:
            datetime.strptime(text, "%Y%m%d")
    except ValueError:
        attributes.note("StudyDate is no date and was ignored")
        return ""
    return text


def age_of(attributes: Attributes) -> float | None:
    """PatientAge in years: three digits and Y, M, W or D (PS3.5 6.2, AS); anything else is noted and ignored."""
    text = attributes.text("PatientAge").upper()
    match = re.fullmatch(r"(\d{1,3})([YMWD])", text, re.ASCII)
    if match is None:
        if text:
            attributes.note("PatientAge is no age and was ignored")
        return None
    return int(match[1]) * _YEARS_PER_UNIT[match[2]]


def _sex(attributes: Attributes) -> str:
    sex = attributes.text("PatientSex").upper()
    if sex and sex not in ("F", "M", "O"):
        attributes.note(f"PatientSex {sex!r} is none of F, M, O and was ignored")
        return ""
    return sex
