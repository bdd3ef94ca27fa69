"""The files of `prune --archive`: none is ever replaced or changed, and nothing incomplete is left."""

import os
from pathlib import Path

import pytest

from orchboard.cli.archive_files import add_file, part_file, remove_leftovers
from orchboard.errors import SetupError


def add(path: Path, content: bytes) -> Path:
    with part_file(path) as file:
        file.write(content)
        return add_file(file, path)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_an_existing_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "results-2026-10-01-2026-10-30.parquet"
    names = [add(path, content).name for content in (b"three rows", b"two rows", b"one", b"two rows")]
    assert contents(tmp_path) == {
        "results-2026-10-01-2026-10-30.parquet": b"three rows",
        "results-2026-10-01-2026-10-30-2.parquet": b"two rows",
        "results-2026-10-01-2026-10-30-3.parquet": b"one",
    }
    assert names[3] == names[1], "equal content is stored once"


def test_what_is_not_complete_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), part_file(tmp_path / "results-1.parquet") as file:
        file.write(b"some")
        raise KeyboardInterrupt
    assert contents(tmp_path) == {}


def test_leftovers_are_removed_and_finished_files_stay(tmp_path: Path) -> None:
    """A process that is killed between two calls leaves a part file that is a second name of the finished one."""
    finished = tmp_path / "results-1.parquet"
    finished.write_bytes(b"rows")
    os.link(finished, tmp_path / "results-1.part")
    (tmp_path / "results-2.part").touch()
    (tmp_path / "mine.part").touch()
    remove_leftovers(tmp_path)
    assert contents(tmp_path) == {"results-1.parquet": b"rows", "mine.part": b""}


def test_a_part_file_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "results-1.parquet"
    with part_file(path) as file:
        remove_leftovers(tmp_path)
        with pytest.raises(
            SetupError, match="another process is writing .*results-1.part; nothing was deleted"
        ):
            add(path, b"other")
        file.write(b"rows")
        add_file(file, path)
    assert contents(tmp_path) == {"results-1.parquet": b"rows"}
