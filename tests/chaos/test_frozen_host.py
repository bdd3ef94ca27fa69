"""The small version of `python -m chaos frozen_host`."""

from chaos.scenarios import frozen_host
from chaos.verdict import Scale
from tests.support.database import run
from tests.support.temporary_directories import reachable_directory


def test_a_frozen_host_keeps_no_other_from_building_rollups() -> None:
    with reachable_directory() as place:
        verdicts = run(frozen_host.prove(Scale.SMALL, place))
    assert [verdict for verdict in verdicts if not verdict.is_met] == []
