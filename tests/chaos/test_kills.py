"""The small version of `python -m chaos kills`."""

import pytest

from chaos.scenarios import kills
from chaos.verdict import Scale
from tests.support.database import run
from tests.support.temporary_directories import reachable_directory


@pytest.mark.timeout(300)  # seconds where nobody else is at work
def test_acknowledged_results_are_stored_once_after_kills_of_any_process() -> None:
    with reachable_directory() as place:
        verdicts = run(kills.prove(Scale.SMALL, place))
    assert [verdict for verdict in verdicts if not verdict.is_met] == []
