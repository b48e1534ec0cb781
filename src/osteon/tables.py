"""The tables that rooms hand to each other: the manifest (what there is), and what models said of it.

A yes-or-no question has predictions, the healing score has grades, and places have boxes and points. All are Parquet
files. The columns below are checked on reading and on writing; a manifest may carry any further column (from the label
table), and further columns become subgroups and the tags-only floor of the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from osteon import files, sheets
from osteon.errors import BadTable


@dataclass(frozen=True)
class Column:
    """One column: its pandas type and what it holds."""

    dtype: str
    meaning: str
    required: bool = True


MANIFEST: Mapping[str, Column] = {
    "image": Column("string", "first 32 hexadecimal digits of the SHA-256 of the file's bytes; unique"),
    "path": Column("string", "file, relative to the ingested folder, forward slashes", required=False),
    "patient": Column(
        "string", "pseudonym of the patient in the file or the label table; the unit of splits and intervals"
    ),
    "study": Column("string", "pseudonym of the study instance UID, accession number or label-table id"),
    "series": Column("string", "pseudonym of the series instance UID"),
    "instance": Column("string", "pseudonym of the SOP instance UID"),
    "target": Column("Int8", "1 finding present, 0 absent, missing = unlabelled or sealed"),
    "view": Column("string", "view position: AP, PA, LAT, OBL or empty"),
    "laterality": Column("string", "L, R, B or empty"),
    "body_part": Column("string", "body part examined, as it stands in the file", required=False),
    "modality": Column("string", "CR, DX, RF, RG; empty for PNG and JPEG"),
    "sex": Column("string", "F, M, O or empty"),
    "age_years": Column("Float32", "age at the study"),
    "device": Column("string", "manufacturer and model"),
    "photometric": Column("string", "photometric interpretation as stored"),
    "transfer_syntax": Column("string", "transfer syntax UID; empty for PNG and JPEG"),
    "bits": Column("Int16", "bits stored per pixel"),
    "rows": Column("Int32", "image height in pixels"),
    "columns": Column("Int32", "image width in pixels"),
    "spacing_mm": Column("Float32", "pixel spacing between rows"),
    "spacing_source": Column("string", "attribute that the spacing was read from"),
    "resolved_part": Column("string", "body part that the texts of the file mean, or empty", required=False),
    "resolved_side": Column("string", "side that they mean: L, R, B or empty", required=False),
    "resolved_view": Column("string", "view that they mean: AP, PA, LAT, OBL or empty", required=False),
    "part_confidence": Column("Float32", "how sure the words of resolved_part are, 0..1", required=False),
    "part": Column("Int16", "0-based part of the file, for recipes that split a plate", required=False),
    "prepared": Column("string", "PNG in images/ that the recipe made", required=False),
    "steps": Column("string", "what the recipe did to this image", required=False),
    "placement": Column(
        "string", "where the prepared image lies in its file: rows, columns, six numbers of an affine", required=False
    ),
    "group": Column("string", "split unit: patients joined by duplicate images", required=False),
    "fold": Column("Int16", "0-based fold; -1 = sealed test set", required=False),
}
"""The manifest: one row per image. Columns that are not required come and go with the commands."""

PREDICTIONS: Mapping[str, Column] = {
    "model": Column("string", "name of the model; floors are named floor:majority, floor:view, …"),
    "image": Column("string", "as in the manifest"),
    "study": Column("string", "as in the manifest", required=False),
    "group": Column("string", "split unit; intervals are clustered by it"),
    "part": Column("string", "validation (out of fold) or test"),
    "fold": Column("Int16", "0-based fold; -1 for the test part"),
    "target": Column("Int8", "1, 0, or missing while sealed"),
    "score": Column("Float64", "the model's own scale, larger = more likely"),
    "probability": Column("Float64", "calibrated inside the training part of its fold; missing if not", required=False),
}
"""The predictions: one row per model and image. `osteon evaluate` needs nothing else, whoever made the model."""

THREE_ANSWERS: Mapping[str, Column] = {
    "image": Column("string", "as in the manifest; unique"),
    "group": Column("string", "split unit; intervals are clustered by it"),
    "fold": Column("Int16", "0-based fold; out of it comes all that this row tells"),
    "truth": Column("string", "what people said: positive, inconclusive or negative"),
    "answer": Column("string", "the most probable of the three, as it was learnt"),
    "p_negative": Column("Float64", "probability of negative"),
    "p_inconclusive": Column("Float64", "of inconclusive"),
    "p_positive": Column("Float64", "of positive"),
    "probability": Column("Float64", "of the finding, by the model of two answers; missing if it told none"),
}
"""Three answers that were learnt: one row per image of the folds that people gave one of the three."""

GRADES: Mapping[str, Column] = {
    "model": Column("string", "name of the model; floors are named floor:majority, floor:view, …"),
    "image": Column("string", "as in the manifest"),
    "study": Column("string", "the visit: a total is the sum over the cortices of one study"),
    "group": Column("string", "split unit; intervals are clustered by it"),
    "part": Column("string", "validation (out of fold) or test"),
    "fold": Column("Int16", "0-based fold; -1 for the test part"),
    "view": Column("string", "AP, PA or LAT; it shows the cortex of this row"),
    "cortex": Column("string", "anterior, posterior, medial or lateral"),
    "target": Column("Int8", "grade 1..4, 0 not scoreable, missing = unlabelled or sealed"),
    "p1": Column("Float64", "probability of grade 1, given that the cortex can be scored"),
    "p2": Column("Float64", "of grade 2"),
    "p3": Column("Float64", "of grade 3"),
    "p4": Column("Float64", "of grade 4; absent or missing for RUST, whose grades end at 3", required=False),
    "scoreable": Column("Float64", "probability that the cortex can be scored", required=False),
    "month": Column("Float32", "months since the injury", required=False),
}
"""Predictions of the healing score: one row per model, image and cortex that its view shows."""

PREPARED: Mapping[str, Column] = {
    "image": Column("string", "as in the manifest; unique"),
    "group": Column("string", "split unit; intervals are clustered by it"),
    "fold": Column("Int16", "0-based fold; -1 = test part"),
    "target": Column("Int8", "1 finding present, 0 absent, missing = unlabelled or sealed"),
    "height": Column("Int32", "of the prepared image, in pixels"),
    "width": Column("Int32", "of the prepared image, in pixels"),
}
"""The prepared images in which places were looked for: one row per image, with and without the finding."""

BOXES: Mapping[str, Column] = {
    "image": Column("string", "as in the manifest"),
    "x": Column("Float64", "left edge, in pixels of the prepared image; 0 is the left edge of its first pixel"),
    "y": Column("Float64", "upper edge; 0 is the upper edge of the first pixel, and y grows downwards"),
    "width": Column("Float64", "in pixels of the prepared image"),
    "height": Column("Float64", "in pixels of the prepared image"),
}
"""Where the finding lies: one row per box, upright rectangles."""

FOUND_BOXES: Mapping[str, Column] = {
    **BOXES,
    "score": Column("Float64", "the model's own scale, larger = more likely, the same for all images"),
}
"""Where a model says it lies: one row per box."""

POINTS: Mapping[str, Column] = {
    "image": Column("string", "as in the manifest"),
    "x": Column("Float64", "in pixels of the prepared image; the centre of its first pixel is 0.5"),
    "y": Column("Float64", "likewise, downwards"),
    "score": Column("Float64", "height of the map there; the highest point of an image is the one that counts"),
}
"""Where a model's map of an image is highest: one row per image, or per peak."""

FLOOR = "floor:"
"""Prefix of the model names of floors."""


def read(path: Path, columns: Mapping[str, Column], *, only: list[str] | None = None) -> pd.DataFrame:
    """Read and check a table.

    Args:
        path: a Parquet file, or a CSV file with the same columns, as `osteon.sheets` reads it.
        columns: MANIFEST, PREDICTIONS, or another of the above.
        only: read these columns alone.

    Raises:
        NotFound: if there is no such file.
        BadTable: if it is no table, or a required column is missing or cannot be read as its type.
    """
    files.must_exist(path)
    try:
        if path.suffix.lower() == ".csv":
            frame = sheets.read(path).replace("", pd.NA).reset_index(drop=True)
            frame = frame[only] if only else frame
        else:
            frame = pq.read_table(path, columns=only).to_pandas(types_mapper=arrow_types)
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise BadTable(
            f"{path} is not a readable table ({error})", remedy="pass the Parquet file that osteon wrote"
        ) from error
    wanted = {name: c for name, c in columns.items() if only is None or name in only}
    return check(frame, wanted, str(path))


def is_graded(path: Path) -> bool:
    """Whether a table of predictions is one of GRADES: its columns decide.

    Raises:
        NotFound, BadTable: as `read`.
    """
    if files.must_exist(path).suffix.lower() == ".csv":
        return "cortex" in sheets.read(path)
    try:
        return "cortex" in pq.read_schema(path).names
    except (pa.ArrowInvalid, OSError) as error:
        raise BadTable(
            f"{path} is not a readable table ({error})", remedy="pass the Parquet file that osteon wrote"
        ) from error


def check(frame: pd.DataFrame, columns: Mapping[str, Column], where: str) -> pd.DataFrame:
    """The table with its columns cast to their types.

    Raises:
        BadTable: if a required column is missing, or a value does not fit its type.
    """
    missing = [name for name, column in columns.items() if column.required and name not in frame]
    if missing:
        raise BadTable(
            f"{where} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}",
            remedy=f"it has {', '.join(map(str, frame.columns)) or 'none'}; see docs/reference/tables.md",
        )
    casts = {}
    for name, column in columns.items():
        if name in frame and str(frame[name].dtype) != column.dtype:
            try:
                values = frame[name]
                if column.dtype != "string" and not pd.api.types.is_numeric_dtype(values.dtype):
                    values = pd.to_numeric(values)
                casts[name] = values.astype(column.dtype)
            except (ValueError, TypeError) as error:
                what = "text" if column.dtype == "string" else "numbers"
                raise BadTable(
                    f"column {name} of {where} does not hold {what} of type {column.dtype} ({error})",
                    remedy=f"it should hold: {column.meaning}; decimals are written with a point",
                ) from error
    return frame.assign(**casts) if casts else frame


def write(path: Path, frame: pd.DataFrame, columns: Mapping[str, Column]) -> None:
    """Check the table and write it as Parquet, whole or not at all; same rows, same bytes."""
    frame = check(frame, columns, path.name)
    ordered = [c for c in columns if c in frame] + [c for c in frame if c not in columns]
    with files.replacing(path) as temporary:
        table = pa.Table.from_pandas(frame[ordered], preserve_index=False)
        pq.write_table(table.replace_schema_metadata(None), temporary, compression="zstd")


def arrow_types(arrow: pa.DataType) -> pd.api.extensions.ExtensionDtype | None:
    """Strings stay in Arrow memory: a million rows load in a tenth of the time of Python strings."""
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return pd.StringDtype("pyarrow")
    return {
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.float32(): pd.Float32Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }.get(arrow)
