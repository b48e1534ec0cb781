"""A sample on disk: what an audit leaves behind, so that later studies can be compared without the images of today.

`sample.parquet` holds a row per image: its id and patient, tags, statistics and score. `embeddings.npy` is (n, d)
float16. `sample.json` says which column is what, and why something is missing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from osteon import files, tables
from osteon.audit.drift import Sample
from osteon.audit.tags import tags_of
from osteon.errors import BadTable

FORMAT = 1
TABLE, EMBEDDINGS, DESCRIPTION = "sample.parquet", "embeddings.npy", "sample.json"
_REMEDY = "audit the reference again, and pass the folder of that audit"


def write(folder: Path, sample: Sample) -> None:
    """Write a sample into a folder of its own, whole or not at all; same sample, same bytes.

    Raises:
        CannotWrite: if the folder cannot be written.
    """
    parts = {"tags": tags_of(sample.tags), "statistics": sample.statistics}
    described = {name: None if part is None else [str(column) for column in part] for name, part in parts.items()}
    frame = pd.DataFrame({"image": sample.image, "group": sample.group})
    for name, part in parts.items():
        if part is not None:
            frame = pd.concat([frame, part.reset_index(drop=True).add_prefix(f"{name}:")], axis=1)
    if sample.scores is not None:
        frame = frame.assign(score=sample.scores)
    with files.replacing_folder(folder) as temporary:
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        pq.write_table(table, temporary / TABLE, compression="zstd")
        if sample.embeddings is not None:
            np.save(temporary / EMBEDDINGS, np.asarray(sample.embeddings, np.float16), allow_pickle=False)
        by = {"embedded_by": sample.embedded_by, "scored_by": sample.scored_by, "missing": dict(sample.missing)}
        files.write_json(temporary / DESCRIPTION, {"format": FORMAT, **described, **by})


def read(folder: Path) -> Sample:
    """The sample in a folder.

    Raises:
        NotFound: if there is none.
        BadTable: if its files contradict each other.
    """
    described = files.read_json(files.must_exist(folder / DESCRIPTION, remedy=_REMEDY))
    try:
        if described["format"] != FORMAT:
            raise ValueError(f"format {described['format']}")
        frame = pq.read_table(folder / TABLE).to_pandas(types_mapper=tables.arrow_types)
        parts = {}
        for name in ("tags", "statistics"):
            columns = described[name]
            parts[name] = None if columns is None else frame[[f"{name}:{c}" for c in columns]].set_axis(columns, axis=1)
        return Sample(
            image=frame["image"].to_numpy(str),
            group=frame["group"].to_numpy(str),
            tags=parts["tags"],
            statistics=parts["statistics"],
            embeddings=np.load(folder / EMBEDDINGS, allow_pickle=False) if (folder / EMBEDDINGS).exists() else None,
            embedded_by=described["embedded_by"],
            scores=frame["score"].to_numpy(float, na_value=np.nan) if "score" in frame else None,
            scored_by=described["scored_by"],
            missing=described["missing"],
        )
    except (KeyError, TypeError, ValueError, OSError, pa.ArrowInvalid) as error:
        raise BadTable(f"{folder} holds no sample that this osteon knows ({error})", remedy=_REMEDY) from error
