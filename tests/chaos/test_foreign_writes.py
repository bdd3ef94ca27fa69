"""The small version of `python -m chaos foreign_writes`."""

from chaos.scenarios import foreign_writes
from chaos.verdict import Scale
from tests.support.database import run
from tests.support.temporary_directories import reachable_directory


def test_a_change_by_another_program_is_in_every_answer_and_rollup() -> None:
    with reachable_directory() as place:
        verdicts = run(foreign_writes.prove(Scale.SMALL, place))
    assert [verdict for verdict in verdicts if not verdict.is_met] == []
