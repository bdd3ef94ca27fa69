"""Migration files: their names, new ones, and what squawk finds in them."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchboard.errors import SetupError
from orchboard.store.schema.migrate import migrate_to
from orchboard.store.schema.migration_files import create_migration, load_migrations
from orchboard.store.schema.version_tables import LAST_SHARED
from tests.support.migrations import PACKAGE, connector, run


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["1_a.up.sql"], "migration 1 has no .down.sql"),
        (["1_a.up.sql", "1_a.down.sql", "3_c.up.sql", "3_c.down.sql"], "migration 2 is missing"),
        (["1_a.up.sql", "1_a.down.sql", "01_b.up.sql", "01_b.down.sql"], "have the same number"),
        (["1_a.up.sql", "1_b.down.sql"], "two names"),
        (["1_a.sql"], "not named like a migration"),
    ],
)
def test_invalid_sets_of_migration_files_are_refused(tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        (tmp_path / name).write_text("SELECT 1;\n")
    with pytest.raises(SetupError, match=message):
        load_migrations(tmp_path)


def test_no_transaction_must_be_in_both_files(tmp_path: Path) -> None:
    (tmp_path / "1_a.up.sql").write_text("-- orchboard: no transaction\nSELECT 1;\n")
    (tmp_path / "1_a.down.sql").write_text("SELECT 1;\n")
    with pytest.raises(SetupError, match="only one of its files"):
        load_migrations(tmp_path)


def test_a_new_migration_takes_the_next_number_and_runs_as_it_stands(
    empty_database: str, tmp_path: Path
) -> None:
    assert [path.name for path in create_migration("Add the índex", tmp_path)] == [
        "1_add_the_ndex.up.sql",
        "1_add_the_ndex.down.sql",
    ]
    up, _ = create_migration("more", tmp_path)
    assert up.name == "2_more.up.sql"
    migrations = load_migrations(tmp_path)
    assert len(run(migrate_to(connector(empty_database), migrations=migrations))) == 2
    with pytest.raises(SetupError, match="can't be called '…'"):
        create_migration("…", tmp_path)


def test_squawk_finds_no_dangerous_locks() -> None:
    squawk = Path(sys.executable).parent / "squawk"
    root = Path(__file__).parents[3]
    files = [
        path
        for path in (PACKAGE / "schema/migrations").glob("*.sql")
        if int(path.name.split("_")[0]) > LAST_SHARED
    ]
    done = subprocess.run([squawk, "--config", root / ".squawk.toml", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
