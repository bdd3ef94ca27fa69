"""The spool's file: removed, replaced, emptied, damaged, written by another version; what is acknowledged is in it."""

import re
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchboard.errors import SetupError
from orchboard.results.submission import Submission
from orchboard.store.spool.sqlite_file import SpooledSubmission, SpoolFile
from orchboard.store.spool.sqlite_layout import COLUMNS, VERSION, to_unix_us
from orchboard.store.sql_files import sql
from tests.support.submissions import spooled

MEBIBYTE = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "test.sqlite"


@contextmanager
def opened(path: Path) -> Iterator[SpoolFile]:
    file = SpoolFile(path, max_bytes=MEBIBYTE)
    try:
        yield file
    finally:
        file.close()


def received_at(one: SpooledSubmission) -> int:
    assert one.submission.event_time is not None
    return to_unix_us(one.submission.event_time)


def numbers(file: SpoolFile) -> list[int]:
    return [received_at(one) for one in file.oldest(1000, MEBIBYTE)]


def in_named_file(path: Path) -> list[int]:
    """What somebody finds who opens the file by its name."""
    with opened(path) as file:
        return numbers(file)


def remove_file(path: Path) -> None:
    path.unlink()


def remove_all_files(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def remove_directory(path: Path) -> None:
    shutil.rmtree(path.parent)


def replace_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("before"))
    path.parent.mkdir()


def replace_with_empty_file(path: Path) -> None:
    path.unlink()
    path.touch()


def replace_with_another_spool(path: Path) -> None:
    other = path.with_name("other")
    with opened(other) as file:
        file.add([spooled(1000)])
    other.replace(path)


REMOVALS = (
    remove_file,
    remove_all_files,
    remove_directory,
    replace_directory,
    replace_with_empty_file,
    replace_with_another_spool,
)


@pytest.mark.parametrize("remove", REMOVALS)
@pytest.mark.parametrize("held", [0, 3])
def test_results_added_after_the_file_was_removed_are_in_the_file_at_the_path(
    path: Path, remove: Callable[[Path], None], held: int
) -> None:
    with opened(path) as file:
        file.add([spooled(number) for number in range(5)])
        file.remove([one.number for one in file.oldest(5 - held, MEBIBYTE)])
        before = numbers(file)
        remove(path)
        assert file.exists
        assert file.add([spooled(number) for number in range(5, 8)]) == [None] * 3
        found = set(in_named_file(path)) - {1000}
        assert found == {*before, 5, 6, 7}
        assert {one.stat().st_mode & 0o077 for one in path.parent.iterdir() if one.is_file()} == {0}


@pytest.mark.parametrize("remove", REMOVALS)
def test_a_lost_file_is_moved_by_a_read_or_by_closing(path: Path, remove: Callable[[Path], None]) -> None:
    with opened(path) as file:
        file.add([spooled(1), spooled(2)])
        remove(path)
        assert file.depth().waiting in (2, 3)
        assert {1, 2} <= set(in_named_file(path))
        remove_all_files(path)
    assert {1, 2} <= set(in_named_file(path))


def test_results_of_a_lost_file_are_moved_once_by_several_workers(path: Path) -> None:
    with opened(path) as one, opened(path) as other, opened(path) as third:
        one.add([spooled(1, key="k", body_digest=b"d", tester_id=7, id=5)])
        other.add([spooled(2)])
        third.add([spooled(3)])
        moved = one.oldest(10, MEBIBYTE)
        path.unlink()
        assert other.add([spooled(4)]) == [None]
        taken = other.oldest(10, MEBIBYTE)
        assert [item.submission for item in taken] == [*(item.submission for item in moved), spooled(4)]
        other.remove([item.number for item in taken])
        assert one.add([spooled(5)]) == [None]
        assert third.depth().waiting == 1
        assert in_named_file(path) == [5]


def test_a_file_removed_between_commit_and_acknowledgement_loses_nothing(path: Path) -> None:
    """The name is looked at after the commit."""

    class RemovedMeanwhile:
        """A list of results; while it is read for the transaction the file is removed."""

        def __iter__(self) -> Iterator[Submission]:
            yield spooled(1)
            path.unlink(missing_ok=True)
            yield spooled(2)

    with opened(path) as file:
        file.add([spooled(0)])
        assert file.add(RemovedMeanwhile()) == [None, None]  # type: ignore[arg-type]
        assert sorted(in_named_file(path)) == [0, 1, 2]


def test_a_key_reused_after_its_file_was_lost_is_one_result_or_one_dead_letter(path: Path) -> None:
    with opened(path) as file, opened(path) as other:
        file.add([spooled(n, key=f"k{n}", body_digest=b"d") for n in range(3)])
        other.depth()
        path.unlink()
        lost = path.with_name("elsewhere")
        assert not lost.exists()
        with opened(path) as fresh:
            fresh.add([spooled(10, key="k0", body_digest=b"d"), spooled(11, key="k1", body_digest=b"other")])
        file.depth()
        assert sorted(numbers(file)) == [2, 10, 11]
        [aside] = file.dead_letters(10)
        assert (aside.received_at, aside.reason) == (1, "its Idempotency-Key was used for another body")


def truncate(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"garbage " * 4096)


def overwrite_shorter(path: Path) -> None:
    path.write_bytes(b"this is no database")


@pytest.mark.parametrize("damage", [truncate, overwrite, overwrite_shorter])
@pytest.mark.parametrize("is_open", [False, True])
def test_an_emptied_or_damaged_file_accepts_results_again(
    path: Path, damage: Callable[[Path], None], is_open: bool
) -> None:
    with opened(path) as file, opened(path) as other:
        file.add([spooled(1)])
        other.depth()
        if not is_open:
            file.close()
            other.close()
        damage(path)
        damaged = path.read_bytes()
        assert file.add([spooled(2)]) == [None]
        assert other.add([spooled(3)]) == [None]
        assert in_named_file(path) == [2, 3]
    aside = [one.read_bytes() for one in path.parent.glob("*.damaged-*")]
    assert aside == ([damaged] if damaged else []), "nothing is destroyed"


def test_everything_committed_is_in_one_file(path: Path) -> None:
    with opened(path) as file:
        file.add([spooled(1)])
        assert {one.name for one in path.parent.iterdir()} == {"test.sqlite"}
        copy = path.with_name("copy")
        shutil.copy(path, copy)
    assert in_named_file(copy) == [1]


def test_results_beyond_the_disk_limit_are_refused_and_earlier_ones_stay(path: Path) -> None:
    """By the limit on the size of a process's files: as a full disk, for one process."""
    with opened(path) as file:
        file.add([spooled(1)])
    program = f"""
        import resource, signal, sqlite3, sys
        from pathlib import Path
        from orchboard.store.spool.sqlite_file import SpoolFile
        from tests.support.submissions import spooled
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
        file = SpoolFile(Path({str(path)!r}), max_bytes=2**30)
        big = spooled(2, payload=b"x" * 200_000)
        try:
            file.add([big])
        except (sqlite3.Error, OSError) as error:
            print(type(error).__name__)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(file.add([big]))
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["OperationalError", "[None]"]
    assert in_named_file(path) == [1, 2]


# As 2b8e06f and cea0347 made them; both kept a write-ahead log.
FIRST_LAYOUT = """
CREATE TABLE IF NOT EXISTS spooled (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at  INTEGER NOT NULL,
    id           INTEGER,
    region       TEXT NOT NULL,
    job_type     TEXT NOT NULL,
    orchestrator TEXT NOT NULL,
    payload      BLOB NOT NULL,
    key          TEXT,
    body_digest  BLOB,
    tester       TEXT,
    reason       TEXT
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS spooled_key ON spooled (key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS spooled_waiting ON spooled (number, received_at) WHERE reason IS NULL;
CREATE INDEX IF NOT EXISTS spooled_aside ON spooled (number) WHERE reason IS NOT NULL;
"""
SECOND_LAYOUT = FIRST_LAYOUT.replace("tester       TEXT", "tester_id    INTEGER").replace(") STRICT", ")")
LAYOUTS = {"first": (FIRST_LAYOUT, "tester"), "second": (SECOND_LAYOUT, "tester_id")}


def write_layout(path: Path, name: str) -> sqlite3.Connection:
    """A file as a released version left it, with two results that wait and one aside; it stays open."""
    path.parent.mkdir(exist_ok=True)
    layout, tester = LAYOUTS[name]
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(layout)
    for number, reason in ((1, None), (2, None), (3, "the region MUC is unknown")):
        connection.execute(
            "INSERT INTO spooled (received_at, id, region, job_type, orchestrator, payload, key, body_digest,"
            f" {tester}, reason) VALUES (?, ?, 'FRA', 'ai', '0xa', ?, ?, ?, NULL, ?)",
            (number, number * 10 if number == 2 else None, b"{}", f"k{number}", b"d", reason),
        )
    return connection


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("is_in_use", [False, True])
def test_a_file_of_any_released_layout_is_upgraded_with_its_results(
    path: Path, name: str, is_in_use: bool
) -> None:
    before = write_layout(path, name)
    if not is_in_use:
        before.close()
    kept = [
        spooled(1, key="k1", body_digest=b"d"),
        spooled(2, id=20, key="k2", body_digest=b"d"),
        spooled(4, tester_id=7),
    ]
    with opened(path) as file, opened(path) as other:
        assert file.add([spooled(4, tester_id=7)]) == [None]
        assert [one.submission for one in other.oldest(10, MEBIBYTE)] == kept
        assert [one.received_at for one in other.dead_letters(10)] == [3]
        assert other.retry() == 1
    before.close()
    with opened(path) as file:
        assert len(numbers(file)) == 4
        [mode] = file._connection.read(
            lambda connection: connection.execute("PRAGMA journal_mode").fetchone()
        )
        assert mode == "delete"
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (VERSION,)


@pytest.mark.parametrize("name", [*LAYOUTS, None])
def test_an_upgrade_killed_at_any_write_is_completed_by_the_next_open(path: Path, name: str | None) -> None:
    """Each run is killed after one more system call that writes, until one gets through."""
    program = f"""
        import os, sqlite3, sys
        from pathlib import Path
        from orchboard.store.spool import sqlite_connection
        left = int(sys.argv[1])
        class Dying(sqlite3.Connection):
            def execute(self, statement, *rest):
                global left
                left -= 1
                if left < 0:
                    os._exit(9)
                return super().execute(statement, *rest)
        connect = sqlite3.connect
        sqlite3.connect = lambda *a, **k: connect(*a, factory=Dying, **k)
        sqlite_connection.SpoolConnection(Path({str(path)!r})).read(lambda c: None)
    """
    expected = [1, 2] if name else []
    if name:
        write_layout(path, name).close()
    for steps in range(40):
        if not name:
            shutil.rmtree(path.parent, ignore_errors=True)
        ran = subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(steps)], check=False)
        if ran.returncode == 0:
            break
        copy = path.with_name("copy")
        if path.exists():
            shutil.copy(path, copy)
            assert in_named_file(copy) == expected
            copy.unlink()
    assert 3 < steps < 39
    assert in_named_file(path) == expected


def test_a_file_of_a_newer_version_is_refused_by_name_and_left_unchanged(path: Path) -> None:
    with opened(path) as file:
        file.add([spooled(1)])
        with sqlite3.connect(path) as newer:
            newer.execute(f"PRAGMA user_version = {VERSION + 1}")
        newer.close()
        before = path.read_bytes()
        for _ in range(2):
            for use in (lambda: file.add([spooled(2)]), file.depth, file.retry):
                with pytest.raises(SetupError, match=r"test\.sqlite was written by a newer version"):
                    use()
            file.close()
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_newer_file_with_a_write_ahead_log_is_left_unchanged(path: Path) -> None:
    write_layout(path, "second").execute(f"PRAGMA user_version = {VERSION + 1}").connection.close()
    before = path.read_bytes()
    with opened(path) as file, pytest.raises(SetupError, match="newer version"):
        file.add([spooled(2)])
    assert path.read_bytes() == before


def test_a_lost_damaged_file_is_copied_for_the_operator(path: Path) -> None:
    with opened(path) as file:
        file.add([spooled(1)])
        path.write_bytes(b"garbage" * 1000)
        path.unlink()
        assert file.add([spooled(2)]) == [None]
        assert in_named_file(path) == [2]
    [aside] = path.parent.glob("*.damaged-*")
    assert aside.read_bytes() == b"garbage" * 1000


def test_a_database_of_another_program_is_refused_by_name_and_left_unchanged(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE spooled (a, b)")
    other.close()
    before = path.read_bytes()
    with (
        opened(path) as file,
        pytest.raises(SetupError, match=r"is not a spool of orchboard: it lacks body_digest"),
    ):
        file.add([spooled(2)])
    assert path.read_bytes() == before


def test_a_fresh_file_has_the_columns_and_indexes_of_the_second_layout(path: Path) -> None:
    with opened(path) as file:
        file.depth()
    schema = "SELECT type, name, sql FROM sqlite_schema ORDER BY name"
    fresh = sqlite3.connect(path).execute(schema).fetchall()
    second = sqlite3.connect(":memory:")
    second.executescript(SECOND_LAYOUT)
    assert fresh == second.execute(schema).fetchall()
    assert sql("spool_schema").count("CREATE") == 4


def test_two_workers_that_assign_ids_to_equal_rows_get_equal_ids(path: Path) -> None:
    """As they do when the lock's file was removed."""
    with opened(path) as one, opened(path) as other:
        one.add([spooled(number) for number in range(3)])
        seen, also_seen = one.oldest(10, MEBIBYTE), other.oldest(10, MEBIBYTE)
        named = one.assign_ids(seen, [11, 12, 13])
        assert [item.submission.id for item in named] == [11, 12, 13]
        one.remove([seen[0].number])
        one.dead_letter([(seen[1].number, "nobody wants it")])
        assert other.assign_ids(also_seen, [21, 22, 23]) == [named[2]]


def test_the_statements_name_every_column_of_a_submission() -> None:
    """So that a new column is forgotten in none of them; `spool_oldest` selects all."""
    columns = list(COLUMNS)
    assert re.search(r"spooled \((.*?)\)", sql("spool_add"))[1].split(", ") == columns  # type: ignore[index]
    assert re.search(r"spooled \((.*?)\)", sql("spool_move"))[1].split(", ") == [*columns, "reason"]  # type: ignore[index]
    created = sqlite3.connect(":memory:")
    created.executescript(sql("spool_schema"))
    assert {row[1] for row in created.execute("PRAGMA table_info(spooled)")} == {*columns, "number", "reason"}
    created.close()
