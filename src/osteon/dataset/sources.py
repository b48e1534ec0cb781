"""Which files a hospital's export holds, and their bytes: a tree of files, and of zip archives that stay packed.

A member of an archive has the path `archive.zip!/folder/file.dcm`. Nothing is ever unpacked to disk, so a member's name
(absolute, or with `..`) can do no harm: it is only looked up in its archive.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from osteon import files
from osteon.dicom import read as dicom
from osteon.errors import NotFound, UnreadableImage

NOT_GIVEN = ("DICOMDIR", "run.json")
"""Files by this name are not images: the index of a DICOM medium, and the run record of osteon."""

TABLES = (".csv", ".parquet", ".xlsx", ".xls")
"""Files that end so are tables that lie beside images."""

ARCHIVE = ".zip"
"""Files that end so are archives, unless their bytes say that they are DICOM."""

INSIDE = "!/"
"""What stands between the path of an archive and the name of a member."""

MAX_MEMBERS = 100_000
"""Archives of more members are refused."""

MAX_UNPACKED = 2**40
"""Archives that would unpack to more bytes are refused. One member may have as many as a file: `dicom.MAX_BYTES`."""

MAX_RATIO = 200
"""Bytes that one packed byte may become. Radiographs shrink to a half or a fifth; deflate can feign 1032 to one."""

_HARMLESS = 2**24  # bytes that may come of any ratio: an empty image packs very well
_MAX_DIRECTORY = 2**25  # bytes of an archive's directory: with room for names, that of MAX_MEMBERS
_CHUNK = 2**20
_LOCAL = b"PK\x03\x04"  # what a member begins with
_ENCRYPTED = 0x1  # bit 0 of the general purpose flag (APPNOTE.TXT 4.4.4)

_BROKEN = (
    EOFError,
    LookupError,
    RuntimeError,  # a password is wanted; NotImplementedError: a method of packing that it does not know
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What zipfile raises on damaged or foreign archives."""


def files_given(source: Path, labels: Path | None = None, *, archives: bool = True) -> list[str]:
    """The files of an export that ask to be read, as sorted paths relative to it, with forward slashes.

    All count but hidden files and folders, DICOMDIR, run.json, the label table and other tables (TABLES). Linked
    folders are not entered. The members of a zip archive stand for it; an archive that cannot be opened, or that looks
    like a bomb, stands for itself, and `read_bytes` says what is wrong with it.

    Args:
        source: a folder, or one zip archive; paths are then relative to the folder in which it lies.
        labels: the label table, if it may lie in the folder.
        archives: look into archives; else they are files as any other.
    """
    if not source.is_dir():
        return sorted(_members_given(source, source.name))
    table = labels.resolve() if labels else None
    found = list[str]()
    for folder, inner, names in os.walk(source):
        inner[:] = [name for name in inner if not name.startswith(".")]
        prefix = Path(folder).relative_to(source).as_posix() + "/"
        prefix = "" if prefix == "./" else prefix
        for name in filter(_is_given, names):
            if table and name == table.name and Path(folder, name).resolve() == table:
                continue
            if archives and name.lower().endswith(ARCHIVE):
                found += _members_given(Path(folder, name), prefix + name)
            else:
                found.append(prefix + name)
    return sorted(found)


def read_bytes(source: Path, path: str) -> bytes:
    """The bytes of a file that may be an image; others are refused after their first bytes.

    Args:
        source: as for `files_given`.
        path: as `files_given` returned it.

    Raises:
        UnreadableImage: `not_an_image` or `too_large` (as `osteon.dicom.read.bytes_of`); `archive` for an archive or a
            member that is broken, encrypted, nested, or unpacks to something else than it says.
        NotFound: if there is no such file or member.
    """
    root = source if source.is_dir() else source.parent
    archive, name = _parts(root, path)
    if name:
        members = _members(root / archive)
        if name not in members:
            raise NotFound(f"{archive} holds no {name}", remedy="ingest again: the archive has changed")
        return _unpacked(root / archive, members[name])
    if _is_archive(root / path):
        _members(root / path)  # raises: an archive that can be opened is given as its members
        raise _refusal("the archive holds no files that ask to be read", "leave it out")
    return dicom.bytes_of(root / path)


def _is_given(name: str) -> bool:
    return not (name.startswith(".") or name in NOT_GIVEN or name.lower().endswith(TABLES))


def _is_archive(path: Path) -> bool:
    if not (path.name.lower().endswith(ARCHIVE) and path.is_file()):
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] != b"DICM"
    except OSError:
        return False  # a link to nothing: whoever reads it says so


def _members_given(archive: Path, path: str) -> list[str]:
    """The members of an archive that ask to be read; the archive itself if there is none or it cannot be opened."""
    given = list[str]()
    if _is_archive(archive):
        try:
            given = [path + INSIDE + name for name in _members(archive) if _is_given_inside(name)]
        except UnreadableImage:
            given = []  # told when the archive itself is read
    return given or [path]


def _is_given_inside(name: str) -> bool:
    # Some programs write backslashes, and `..` is no hidden folder.
    folders = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return bool(folders) and _is_given(folders[-1]) and not any(part.startswith(".") for part in folders)


def _parts(root: Path, path: str) -> tuple[str, str]:
    """Path of the archive and name of the member, "" for a file that lies in no archive."""
    at = path.find(INSIDE)
    while at >= 0:
        if (root / path[:at]).is_file():
            return path[:at], path[at + len(INSIDE) :]
        at = path.find(INSIDE, at + 1)
    return path, ""


def _members(path: Path) -> Mapping[str, zipfile.ZipInfo]:
    """The members of an archive by name, folders left out, if it is whole and no bomb.

    Raises:
        UnreadableImage: `archive`.
        NotFound: if it is not there.
    """
    try:
        state = files.must_exist(path).stat()
        return _directory(path, state.st_mtime_ns, state.st_size)
    except _BROKEN as error:
        raise _refusal(f"the archive cannot be opened ({error})", "export or copy it again") from error
    except OSError as error:
        raise _refusal(f"the archive cannot be opened ({error.strerror})", "check its permissions") from error


@lru_cache(maxsize=2)  # read once, not once for each member; a changed archive is another one
def _directory(path: Path, changed: int, size: int) -> Mapping[str, zipfile.ZipInfo]:
    with _Bounded(io.FileIO(path)) as stream, zipfile.ZipFile(stream) as content:
        members = [member for member in content.infolist() if not member.is_dir()]
    unpacked = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS:
        raise _refusal(f"the archive has {len(members)} members, more than {MAX_MEMBERS}", _UNPACK)
    if unpacked > MAX_UNPACKED or unpacked > max(_HARMLESS, MAX_RATIO * size):
        raise _refusal(f"the archive would grow from {size} to {unpacked} bytes, like a zip bomb", _UNPACK)
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise _refusal("the archive is encrypted", "unpack it with its password and give the folder")
    twice = [name for name, times in Counter(member.filename for member in members).items() if times > 1]
    if twice:
        raise _refusal(f"the archive holds {twice[0]} twice", _UNPACK)
    return {member.filename: member for member in members}


def _unpacked(archive: Path, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a member, never more than it declares.

    Raises:
        UnreadableImage: `archive`, `too_large` or `not_an_image`.
    """
    if member.file_size > dicom.MAX_BYTES:
        raise UnreadableImage("too_large", "the member unpacks to more than 256 MiB", remedy="split or reduce it")
    if member.file_size > max(_HARMLESS, MAX_RATIO * member.compress_size):
        raise _refusal(f"{member.compress_size} bytes claim to unpack to {member.file_size}", _UNPACK)
    data = bytearray()
    try:
        for chunk in _chunks(archive, member):
            if not data:
                _must_be_an_image(chunk[:512])
            data += chunk
            if len(data) > member.file_size:
                break
    except (*_BROKEN, OSError) as error:
        raise _refusal(f"the member cannot be unpacked ({error})", "export or copy the archive again") from error
    if len(data) != member.file_size or zlib.crc32(data) != member.CRC:
        raise _refusal("the member is not what its archive declares", "export or copy the archive again")
    if not data:
        _must_be_an_image(b"")
    return bytes(data)


def _chunks(archive: Path, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """What a member unpacks to (APPNOTE.TXT 4.3), not empty, about a megabyte at a time.

    zipfile would read the directory again for each member, and unpacks bzip2 and lzma without a bound.
    """
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"it is packed by method {member.compress_type}, not by deflate")
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if member.compress_type == zipfile.ZIP_DEFLATED else None
    with archive.open("rb") as stream:
        stream.seek(member.header_offset)
        signature, name, extra = struct.unpack("<4s22xHH", stream.read(30))
        if signature != _LOCAL:
            raise zipfile.BadZipFile("it is not where the directory says")
        stream.seek(name + extra, io.SEEK_CUR)
        left = member.compress_size
        while left and (packed := stream.read(min(left, _CHUNK))):
            left -= len(packed)
            while packed and inflate:
                if chunk := inflate.decompress(packed, _CHUNK):
                    yield chunk
                packed = inflate.unconsumed_tail
            if packed:
                yield packed
    if inflate and (rest := inflate.flush()):
        yield rest


def _must_be_an_image(head: bytes) -> None:
    if head.startswith(_LOCAL) and head[128:132] != b"DICM":
        raise _refusal("the member is an archive within an archive", "unpack the outer one and give the folder")
    dicom.bytes_of(head)


_UNPACK = "if you trust it, unpack it and give the folder"


def _refusal(message: str, remedy: str) -> UnreadableImage:
    return UnreadableImage("archive", message, remedy=remedy)


class _Bounded(io.BufferedReader):
    """A file that refuses to read a directory of millions of members at once, as zipfile would."""

    def read(self, size: int | None = -1, /) -> bytes:
        whole = size is None or size < 0
        data = super().read(_MAX_DIRECTORY + 1 if whole else min(size or 0, _MAX_DIRECTORY + 1))
        if len(data) > _MAX_DIRECTORY:
            raise zipfile.BadZipFile(f"its directory is larger than {_MAX_DIRECTORY} bytes")
        return data
