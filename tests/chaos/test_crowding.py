"""Crowding, in small: `make chaos` has the rest."""

import tempfile
from pathlib import Path

from chaos.scenarios import crowding
from chaos.verdict import Scale
from tests.support.database import run
from tests.support.temporary_directories import tmpfs_directory


def test_floods_of_connections_delay_no_testers_or_readers() -> None:
    with tempfile.TemporaryDirectory(prefix="orchboard-crowding-", dir=tmpfs_directory()) as directory:
        verdicts = run(crowding.prove(Scale.SMALL, Path(directory)))
    assert len(verdicts) == 4
    assert all(verdict.is_met for verdict in verdicts), verdicts
