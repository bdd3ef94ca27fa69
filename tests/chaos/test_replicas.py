"""The small version of `python -m chaos replicas`."""

from chaos.scenarios import replicas
from chaos.verdict import Scale
from tests.support.database import run
from tests.support.temporary_directories import reachable_directory


def test_replicas_that_start_at_once_migrate_once_and_all_serve() -> None:
    with reachable_directory() as place:
        verdicts = run(replicas.prove(Scale.SMALL, place))
    assert [verdict for verdict in verdicts if not verdict.is_met] == []
