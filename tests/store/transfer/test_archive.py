import io

import pytest
import zstandard

from orchboard.errors import BadInputError
from orchboard.store.transfer.archive import (
    FORMAT,
    BackupRegion,
    BackupWriter,
    Header,
    check_backup,
    result_lines,
)

HEADER = Header(FORMAT, "2026-11-24T13:00:00+00:00", 7, (BackupRegion("MUC", "München", "ai"),))
LINES = [f'{{"event_time":"2026-11-24T13:00:0{n}+00:00","n":"ü\\n"}}' for n in range(9)]


def written(lines: list[str] = LINES) -> bytes:
    out = io.BytesIO()
    writer = BackupWriter(out, HEADER)
    writer.write(lines[:4])
    writer.write(lines[4:])
    writer.finish()
    return out.getvalue()


def lines_in(file: bytes) -> list[bytes]:
    text = zstandard.ZstdDecompressor().stream_reader(file).readall()
    return text.splitlines(keepends=True)


def compressed(*lines: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(b"".join(lines))


def test_a_written_archive_is_read_back() -> None:
    backup = check_backup(io.BytesIO(written()))
    assert (backup.header, backup.trailer.results) == (HEADER, 9)
    assert (backup.since, backup.until) == ("2026-11-24T13:00:00+00:00", "2026-11-24T13:00:08+00:00")
    assert list(result_lines(io.BytesIO(written()))) == [f"{line}\n".encode() for line in LINES]


def test_one_without_results_is_one() -> None:
    backup = check_backup(io.BytesIO(written([])))
    assert (backup.trailer.results, backup.since, backup.until) == (0, None, None)
    assert list(result_lines(io.BytesIO(written([])))) == []


WHOLE, (FIRST, *REST) = written(), lines_in(written())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not a backup"),
        (b"hello", "is not a backup"),
        (compressed(b"{}\n"), "is not a backup"),
        (compressed(FIRST.replace(b'backup":1', b'backup":2'), *REST), "has format 2"),
        (compressed(FIRST), "ends after its first line"),
        (compressed(FIRST, *REST[:-1]), "cut off"),
        (compressed(FIRST, *REST[1:]), "was altered: it holds 8 results"),
        (compressed(FIRST, REST[1], REST[0], *REST[2:]), "was altered"),
        (compressed(FIRST.replace(b"MUC", b"MUX"), *REST), "was altered"),
    ],
)
def test_anything_else_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(BadInputError, match=told):
        check_backup(io.BytesIO(content))


def test_no_byte_can_be_missing_or_another() -> None:
    for place in range(len(WHOLE)):
        flipped = bytearray(WHOLE)
        flipped[place] ^= 0x10
        for content in (WHOLE[:place], bytes(flipped)):
            # What is not part of the text (a bit that zstd keeps free) may differ.
            try:
                check_backup(io.BytesIO(content))
            except BadInputError:
                continue
            assert lines_in(content) == [FIRST, *REST]
