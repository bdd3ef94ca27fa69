"""Lines are sorted in runs, and each comes once."""

import random
import tempfile
from typing import IO

from orchboard.importing.sorting import SortedLines


def test_any_number_of_runs_is_read_in_order_and_each_line_once() -> None:
    files: list[IO[bytes]] = []

    def make_file() -> IO[bytes]:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by what is tested
        files.append(file)
        return file

    given = [f"line {n % 700:04}".encode() for n in range(2000)]
    random.Random(1).shuffle(given)
    lines = SortedLines(make_file, run_bytes=1000)
    for line in given:
        lines.add(line)
    assert len(files) > 10
    wanted = [line + b"\n" for line in sorted(set(given))]
    assert list(lines.read()) == wanted
    assert list(lines.read()) == wanted
    lines.close()
    assert all(file.closed for file in files)
