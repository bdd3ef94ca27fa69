"""Every console session of docs/connect prints what the page shows, with the programs of the pages."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from tests.connect.pages import (
    OPTIONAL,
    TIMEOUT_S,
    Session,
    find,
    matches,
    run_session,
    sessions,
    write_programs,
)
from tests.support.server import SECRET, StartServer


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("session", sessions(), ids=lambda session: f"{session.page}, {session.heading}")
def test_a_console_session_prints_what_the_page_shows(
    session: Session, settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    words = {word for step in session.steps for word in step.command.split()}
    needed = words | ({"openssl"} if "post_result.sh" in words else set())
    for name in needed & OPTIONAL:
        find(name)
    write_programs(tmp_path)
    server = start_server(replace(settings, orchestrator_names="address"))

    printed = run_session(session, tmp_path, server.port, SECRET)

    assert len(printed) == len(session.steps)
    for step, text in zip(session.steps, printed, strict=True):
        assert matches(step.output, text), f"$ {step.command}\n{text}"
