"""The small version of `python -m chaos retention`."""

import pytest

from chaos.scenarios import retention
from chaos.verdict import Scale
from tests.support.database import run
from tests.support.temporary_directories import reachable_directory


@pytest.mark.timeout(400)
def test_deleting_results_under_load_changes_no_answer_and_loses_nothing() -> None:
    with reachable_directory() as place:
        verdicts = run(retention.prove(Scale.SMALL, place))
    assert [verdict for verdict in verdicts if not verdict.is_met] == []
