"""orchboard spool"""

from pathlib import Path

from orchboard.store.spool.location import other_spools, spool_path, why_no_spool
from orchboard.store.spool.sqlite_file import SpoolFile
from tests.support.program import Orchboard
from tests.support.submissions import spooled

URL = "postgresql://me:hush@db.example:5433/board"


def test_dead_letters_are_shown_and_retried(orchboard: Orchboard, tmp_path: Path) -> None:
    assert orchboard("spool", "show").err.strip() == "there are no dead letters"
    path = spool_path(tmp_path / "data", "")
    file = SpoolFile(path, max_bytes=2**20)
    file.add([spooled(1_800_000_000_000_000, region="MUC", payload=b'{"a": 1}') for _ in range(2)])
    file.dead_letter([(1, "the region MUC is unknown")])
    assert [orchboard("spool", "status", "--json").json()[0][name] for name in ("waiting", "aside")] == [1, 1]
    shown = orchboard("spool", "show").out
    assert "2027-01-15 08:00:00" in shown
    assert "the region MUC is unknown" in shown
    assert orchboard("spool", "show", "--json").json()[0]["payload"] == '{"a": 1}'
    assert "dead letters" in orchboard("doctor").out
    assert orchboard("spool", "retry").out == "results queued for replay: 1\n"
    assert file.depth().waiting == 2
    file.close()


def test_each_database_has_one_spool_file_for_all_users(tmp_path: Path) -> None:
    path = spool_path(tmp_path, URL)
    assert spool_path(tmp_path, URL.replace("hush", "new").replace("me", "you")) == path
    assert spool_path(tmp_path, f"{URL}?sslmode=require") == path
    for other in (URL.replace("5433", "5434"), f"{URL}2", URL.replace("db.", "d."), f"{URL}?host=/x", ""):
        assert spool_path(tmp_path, other) != path
    assert "hush" not in str(path)


def test_a_place_that_is_no_disk_or_can_not_be_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "spool" / "x.sqlite"
    assert why_no_spool(path, may_be_in_memory=True) is None
    assert other_spools(path) == []
    (tmp_path / "file").write_text("")
    assert "can't be created" in (why_no_spool(tmp_path / "file" / "spool" / "x.sqlite") or "")
    if Path("/dev/shm").is_dir():
        assert "in memory" in (why_no_spool(Path("/dev/shm/orchboard-test-spool/x.sqlite")) or "")
        Path("/dev/shm/orchboard-test-spool").rmdir()
