"""The small version of `python -m chaos restarts`."""

import pytest

from chaos.scenarios import restarts
from chaos.verdict import Scale
from tests.support.database import run
from tests.support.temporary_directories import reachable_directory


@pytest.mark.timeout(300)  # seconds where nobody else is at work
def test_no_request_fails_while_servers_and_workers_come_and_go() -> None:
    with reachable_directory() as place:
        verdicts = run(restarts.prove(Scale.SMALL, place))
    assert [verdict for verdict in verdicts if not verdict.is_met] == []
