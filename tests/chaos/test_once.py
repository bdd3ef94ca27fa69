"""Once, in small: `make chaos` has the rest."""

from pathlib import Path

from chaos.scenarios import once
from chaos.verdict import Scale
from tests.conftest import run


def test_a_lost_acknowledgement_sent_again_stores_once(tmp_path: Path) -> None:
    directory = tmp_path / "once"
    directory.mkdir()
    verdicts = run(once.prove(Scale.SMALL, directory))
    assert len(verdicts) == 4
    assert all(verdict.is_met for verdict in verdicts), verdicts
