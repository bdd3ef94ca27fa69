"""The small version of `python -m chaos clocks`."""

from chaos.scenarios import clocks
from chaos.verdict import Scale
from tests.support.database import run
from tests.support.temporary_directories import reachable_directory


def test_no_step_of_a_clock_hides_an_acknowledged_result() -> None:
    with reachable_directory() as place:
        verdicts = run(clocks.prove(Scale.SMALL, place))
    assert [verdict for verdict in verdicts if not verdict.is_met] == []
