"""What prevents the start of an embedded Postgres is reported in words."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchboard.errors import SetupError
from orchboard.store.embedded.binaries import find_binaries
from orchboard.store.embedded.initdb import make_cluster
from orchboard.store.embedded.paths import Account, Cluster
from tests.support.embedded_clusters import MAJOR, Start, copy_of, fetch_value, needs_root


def test_a_database_of_another_major_version_is_refused_in_words(base: Path, start: Start) -> None:
    (base / "pg12").mkdir()
    (base / "pg12" / "PG_VERSION").write_text("12\n")
    with pytest.raises(
        SetupError, match=rf"holds a database of PostgreSQL 12.*PostgreSQL\s{MAJOR}.*POSTGRES_BIN"
    ):
        start(base)
    assert not (base / f"pg{MAJOR}").exists()


def test_a_file_instead_of_the_data_directory_is_named(base: Path, start: Start) -> None:
    (base / "data").touch()
    with pytest.raises(SetupError, match=f"{base / 'data'} is not a directory"):
        start(base / "data")


def test_missing_programs_are_named(base: Path, start: Start) -> None:
    with pytest.raises(SetupError, match=r"POSTGRES_BIN \(/nowhere\)"):
        start(base, postgres_bin=Path("/nowhere"))


def test_a_user_without_a_name_is_refused(base: Path) -> None:
    with pytest.raises(SetupError, match="User id 54321 has no name"):
        make_cluster(Cluster(base, MAJOR), find_binaries(None), Account("", 54321, 54321), lock=0)


def test_the_error_of_a_postgres_that_ends_at_once_is_reported(data: Path, start: Start) -> None:
    with open(data / f"pg{MAJOR}" / "postgresql.conf", "a") as conf:
        conf.write("shared_buffers = nonsense\n")
    with pytest.raises(SetupError, match=r'ended at its start: .*"shared_buffers": "nonsense"'):
        start(data)


@pytest.fixture
def small_disk(base: Path) -> Iterator[Path]:
    """A disk of 64 MB; a new cluster takes about 40."""
    disk = base / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=0755", "tmpfs", str(disk)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill(disk: Path, leave: int) -> None:
    space = os.statvfs(disk)
    with open(disk / "filler", "wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, space.f_bavail * space.f_frsize - leave)


@needs_root
def test_a_disk_too_full_for_a_new_database_is_named_and_left_clean(small_disk: Path, start: Start) -> None:
    fill(small_disk, leave=8 * 1024 * 1024)
    with pytest.raises(SetupError, match="no space left on device"):
        start(small_disk / "data")
    assert [path.name for path in (small_disk / "data").iterdir()] == [f"pg{MAJOR}.lock"]
    (small_disk / "filler").unlink()
    assert fetch_value(start(small_disk / "data").url, "select 1") == 1


@needs_root
def test_a_full_disk_at_a_later_start_is_named(small_disk: Path, template: Path, start: Start) -> None:
    data = copy_of(template, small_disk / "data")
    fill(small_disk, leave=0)
    with pytest.raises(SetupError, match="no space left on device"):
        start(data)
