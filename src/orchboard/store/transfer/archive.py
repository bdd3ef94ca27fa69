"""The file format of a backup: JSON lines, compressed with zstd. docs/backup.md describes the lines.

`zstd -dc FILE` reads it without this program.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import IO

import msgspec
import zstandard
from msgspec import Struct

from orchboard.errors import BadInputError, SetupError
from orchboard.store.disk import sync_directory

FORMAT = 1

_ZSTD = b"\x28\xb5\x2f\xfd"

_HEADER_BEGIN = 100

# 1,000,000 simulated results are 430 MB. Level 3 compresses them to 58 MB in 1.6 s, level 9 to 49 MB in 8 s.
_LEVEL = 3


class BackupRegion(Struct, frozen=True):
    """A region. `job_type` is None if the database has none for it."""

    region: str
    display_name: str
    job_type: str | None


class Header(Struct, frozen=True):
    """The first line. orchboard_backup -- version of the format; made_at -- time of the snapshot, ISO 8601"""

    orchboard_backup: int
    made_at: str
    schema_version: int
    regions: tuple[BackupRegion, ...]


class Trailer(Struct, frozen=True):
    """The last line: the number of results, and SHA-256 digests.

    header_sha256 -- of the first line; results_sha256 -- of all lines between the first and the last. Line ends included
    """

    results: int
    header_sha256: str
    results_sha256: str


class BackupWriter:
    """Writes a backup, which is complete after `finish`. Raises SetupError if the file can't be written."""

    def __init__(self, file: IO[bytes], header: Header) -> None:
        self._out = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).stream_writer(
            file, closefd=False
        )
        line = _line(header)
        self._header_sha256 = sha256(line).hexdigest()
        self._digest = sha256()
        self._results = 0
        self._write(line)

    def write(self, lines: list[str]) -> None:
        """Write results, one per line, given without line ends."""
        text = "\n".join((*lines, "")).encode()
        self._results += len(lines)
        self._digest.update(text)
        self._write(text)

    def finish(self) -> Trailer:
        """Write the last line and return it."""
        trailer = Trailer(self._results, self._header_sha256, self._digest.hexdigest())
        self._write(_line(trailer))
        with _write_errors():
            self._out.close()  # type: ignore[no-untyped-call] # the library's own stub leaves it out
        return trailer

    def _write(self, text: bytes) -> None:
        with _write_errors():
            self._out.write(text)


class Backup(Struct, frozen=True):
    """The content of a verified backup.

    since, until -- receipt times of the first and the last result, as written in the lines; None without results
    """

    header: Header
    trailer: Trailer
    since: str | None
    until: str | None


class ResultLine(Struct, frozen=True):
    """The part of a result's line that is decoded here."""

    event_time: str


def check_backup(file: IO[bytes]) -> Backup:
    """Read a backup from the current position to its end and verify its digests. Raises BadInputError if it is invalid."""
    with _read_errors():
        return _check(_lines(file))


def result_lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of the results in a verified backup, in order, with line ends."""
    with _read_errors():
        lines = _lines(file)
        next(lines)
        line = next(lines)
        for following in lines:
            yield line
            line = following


def is_backup(file: IO[bytes]) -> bool:
    """Whether a file starts like a backup, compressed or not. Seeks back to the start."""
    with decompressed(file) as text:
        begin = text.read(_HEADER_BEGIN)
    file.seek(0)
    return begin.startswith(b'{"orchboard_backup":')


@contextmanager
def decompressed(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """The content of a file from the current position, decompressed if it is compressed with zstd.

    file -- seekable
    Raises BadInputError if the data can't be decompressed, also from reads in the block.
    """
    with _read_errors():
        yield _text(file)


def _check(lines: Iterator[bytes]) -> Backup:
    first = next(lines, b"")
    header = _read_header(first)
    digest, results = sha256(), -1
    since = last = line = b""
    for following in lines:
        if results >= 0:
            digest.update(line)
            since, last = since or line, line
        results += 1
        line = following
    if results < 0:
        raise BadInputError("the backup ends after its first line")
    try:
        trailer = msgspec.json.decode(line, type=Trailer)
    except msgspec.MsgspecError:
        raise BadInputError("the backup is cut off: its last line is missing") from None
    found = Trailer(results, sha256(first).hexdigest(), digest.hexdigest())
    if trailer != found:
        raise BadInputError(
            f"the backup was altered: it holds {found.results:,} results with digest {found.results_sha256}, "
            f"and should {trailer.results:,} with {trailer.results_sha256}"
        )
    return Backup(header, trailer, _event_time(since), _event_time(last))


def _read_header(line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except msgspec.MsgspecError:
        raise BadInputError(
            "this is not a backup of orchboard: its first line is not the header of a backup"
        ) from None
    if header.orchboard_backup != FORMAT:
        raise BadInputError(
            f"the backup has format {header.orchboard_backup}; this orchboard reads format {FORMAT}"
        )
    return header


def _event_time(line: bytes) -> str | None:
    return msgspec.json.decode(line, type=ResultLine).event_time if line else None


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    return iter(_text(file))


def _text(file: IO[bytes]) -> IO[bytes]:
    start = file.tell()
    is_compressed = file.read(len(_ZSTD)) == _ZSTD
    file.seek(start)
    if not is_compressed:
        return file
    reader = zstandard.ZstdDecompressor().stream_reader(file, closefd=False, read_across_frames=True)
    return io.BufferedReader(reader, 1 << 20)


@contextmanager
def _write_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SetupError(f"the backup can't be written: {error.strerror or error}") from error


@contextmanager
def _read_errors() -> Iterator[None]:
    try:
        yield
    except zstandard.ZstdError as error:
        raise BadInputError(
            f"the backup can't be read: it was altered, or it is not a backup: {error}"
        ) from error


def _line(value: Struct) -> bytes:
    return msgspec.json.encode(value) + b"\n"


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that replaces `path` after the block, when all of it is on disk. An error leaves `path` unchanged."""
    if path.exists() and not path.is_file():
        raise BadInputError(f"{path} is not a file; `-` is standard output")
    fresh = path.with_name(f"{path.name}.unfinished-{os.getpid()}")
    try:
        with (
            _errors_about(path),
            open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file,
        ):
            yield file
            file.flush()
            os.fsync(file.fileno())
        with _errors_about(path):
            fresh.replace(path)
            sync_directory(path.parent)
    finally:
        with suppress(OSError):
            fresh.unlink()


@contextmanager
def _errors_about(path: Path) -> Iterator[None]:
    """Put the requested path into errors about the temporary file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
