"""The chaos scenario of expensive questions, small. How long answers took is no matter on a busy machine."""

from chaos.scenarios.costly_questions import prove
from chaos.verdict import Scale
from tests.support.database import run
from tests.support.temporary_directories import reachable_directory


def test_expensive_queries_delay_no_others_and_open_no_circuit_breaker() -> None:
    with reachable_directory() as place:
        readers, testers, memory = run(prove(Scale.SMALL, place))
    assert " 0 failed" in readers.figure
    assert testers.is_met, testers.figure
    assert memory.is_met, memory.figure
