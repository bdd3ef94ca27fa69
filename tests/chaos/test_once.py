"""Once, in small: `make chaos` has the rest."""

import tempfile
from pathlib import Path

from chaos.scenarios import once
from chaos.verdict import Scale
from tests.support.database import run
from tests.support.temporary_directories import tmpfs_directory


def test_a_lost_acknowledgement_sent_again_stores_once() -> None:
    with tempfile.TemporaryDirectory(prefix="orchboard-once-", dir=tmpfs_directory()) as directory:
        verdicts = run(once.prove(Scale.SMALL, Path(directory)))
    assert len(verdicts) == 4
    assert all(verdict.is_met for verdict in verdicts), verdicts
