"""The small version of `python -m chaos database_away`."""

from chaos.scenarios import database_away
from chaos.verdict import Scale
from tests.support.database import run
from tests.support.temporary_directories import reachable_directory


def test_what_was_acknowledged_without_the_database_is_in_it_once_when_it_is_back() -> None:
    with reachable_directory() as place:
        verdicts = run(database_away.prove(Scale.SMALL, place))
    assert [verdict for verdict in verdicts if not verdict.is_met] == []
