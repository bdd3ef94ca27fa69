"""The PostgreSQL programs that the tests run on: those of `--postgres-bin`."""

import shutil
from pathlib import Path

from orchboard.store.embedded.binaries import find_binaries
from orchboard.store.embedded.paths import Cluster, blocked_at, postgres_account


def reachable_programs(postgres_bin: Path | None, directory: Path) -> Path | None:
    """The directory of PostgreSQL programs; of a copy of their installation in `directory` if Postgres's user can't reach them."""
    if postgres_bin is None:
        return None
    account = postgres_account(Cluster(directory / "data", find_binaries(postgres_bin).major))
    if blocked_at(postgres_bin / "postgres", account) is None:
        return postgres_bin
    return (
        Path(shutil.copytree(postgres_bin.parent, directory / "postgresql", symlinks=True))
        / postgres_bin.name
    )
