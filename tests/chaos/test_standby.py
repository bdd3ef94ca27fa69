"""The small version of `python -m chaos standby`."""

from chaos.scenarios import standby
from chaos.verdict import Scale
from tests.support.database import run
from tests.support.temporary_directories import reachable_directory


def test_answers_of_standbys_miss_nothing_that_was_acknowledged() -> None:
    with reachable_directory() as place:
        verdicts = run(standby.prove(Scale.SMALL, place))
    assert [verdict for verdict in verdicts if not verdict.is_met] == []
