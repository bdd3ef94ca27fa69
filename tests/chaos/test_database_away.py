"""The small version of `python -m chaos database_away`."""

from chaos.scenarios import database_away
from chaos.verdict import Scale
from tests.support.database import run
from tests.support.temporary_directories import reachable_directory


def test_results_acknowledged_during_an_outage_are_stored_once() -> None:
    with reachable_directory() as place:
        verdicts = run(database_away.prove(Scale.SMALL, place))
    assert [verdict for verdict in verdicts if not verdict.is_met] == []
