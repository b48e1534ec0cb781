"""Writing without loss: a result appears whole under its name, or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from osteon.errors import BadTable, CannotWrite, NotFound


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; what is written there takes the name `path` when the block ends well.

    Raises:
        CannotWrite: if the disk is full or the folder cannot be written; `path` is then as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    with _explaining(path, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """An empty temporary folder beside `folder` that takes its place, whole, when the block ends well.

    Raises:
        CannotWrite: as for `replacing`; the earlier folder is then untouched.
    """
    temporary = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    with _explaining(folder, temporary):
        shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process of the same number
        temporary.mkdir(parents=True)
        try:
            yield temporary
            previous = temporary.with_name(f"{temporary.name}-previous")
            if folder.exists():
                folder.replace(previous)
            temporary.replace(folder)
            shutil.rmtree(previous, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _explaining(path: Path, temporary: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if _is_about_writing(error, temporary):
            raise _cannot_write(path, error) from error
        raise


def _is_about_writing(error: OSError, temporary: Path) -> bool:
    # The block may also read: a missing input is not a full disk.
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG):
        return True
    about = str(error.filename or "")
    denied = error.errno in (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST)
    return about.startswith(str(temporary)) or (denied and about == str(temporary.parent))


def _cannot_write(path: Path, error: OSError) -> CannotWrite:
    reason = error.strerror or str(error)
    return CannotWrite(
        f"could not write {path} ({reason})",
        remedy="free some space or choose another --out; earlier results are as they were",
    )


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented UTF-8 JSON, keys in the order given, NaN refused."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        NotFound: if there is no such file.
        BadTable: if it is not JSON.
    """
    try:
        return json.loads(must_exist(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadTable(f"{path} is not readable JSON", remedy="write it again with the command that made it") from error


def must_be_writable(folder: Path) -> Path:
    """`folder`, if results could be written there; it need not exist yet. Asked before hours of work, not after.

    Raises:
        CannotWrite: if a file stands in its way, or it is read-only.
    """
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise CannotWrite(f"{nearest} is a file, and results need a folder", remedy="choose another --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise CannotWrite(f"{nearest} is read-only", remedy="choose another --out, or change its permissions")
    return folder


def must_exist(path: Path, *, remedy: str = "check the path") -> Path:
    """`path`, if it is there.

    Raises:
        NotFound: if it is not.
    """
    if not path.exists():
        raise NotFound(f"{path} does not exist", remedy=remedy)
    return path


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, or of a folder's file names and bytes (sorted), as 64 hexadecimal digits."""
    sha = hashlib.sha256()
    if path.is_dir():
        for inner in sorted(p for p in path.rglob("*") if p.is_file() and p.name != "run.json"):
            sha.update(f"{inner.relative_to(path).as_posix()}\0{digest_of(inner)}\n".encode())
        return sha.hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
