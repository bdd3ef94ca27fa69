"""The small version of `python -m chaos failover`."""

from chaos.scenarios import failover
from chaos.verdict import Scale
from tests.support.database import run
from tests.support.temporary_directories import reachable_directory


def test_a_failover_loses_nothing_and_reads_go_on() -> None:
    with reachable_directory() as place:
        verdicts = run(failover.prove(Scale.SMALL, place))
    assert [verdict for verdict in verdicts if not verdict.is_met] == []
