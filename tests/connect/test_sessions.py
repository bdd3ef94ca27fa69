"""Every console session of docs/connect prints what the page shows, with the programs of the pages."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from tests.connect.pages import (
    DOCUMENTED_PORT,
    OPTIONAL,
    TIMEOUT_S,
    VARYING,
    environment,
    find,
    sessions,
    write_programs,
)
from tests.support.console_blocks import Block
from tests.support.console_session import Session
from tests.support.server import SECRET, StartServer


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("session", sessions(), ids=lambda session: f"{session[0].location}")
def test_a_console_session_prints_what_the_page_shows(
    session: list[Block], settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    commands = [command for block in session for command in block.commands]
    words = {word for command in commands for word in command.line.split()}
    for name in (words | ({"openssl"} if "post_result.sh" in words else set())) & OPTIONAL:
        find(name)
    write_programs(tmp_path)
    server = start_server(replace(settings, orchestrator_names="address"))
    variables = environment(server.url, SECRET)

    with Session(
        tmp_path,
        tmp_path,
        ports={DOCUMENTED_PORT: str(server.port)},
        variables=variables,
        varying=VARYING,
        limit_s=TIMEOUT_S - 20,
    ) as shell:
        for command in commands:
            difference = shell.run(command)
            assert not difference, f"$ {command.line}\n{difference}"
