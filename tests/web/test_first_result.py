"""What the empty page tells a newcomer to run, run in a shell as it stands."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from tests.support.html_document import Document
from tests.support.program import environment
from tests.support.server import Client


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell that has `orchboard` on its path, and no SECRET."""
    program = tmp_path / "bin" / "orchboard"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m orchboard "$@"\n')
    program.chmod(0o755)
    variables = environment(tmp_path)
    return {**variables, "PATH": f"{program.parent}:{variables['PATH']}"}


@pytest.fixture
def url(shell: dict[str, str], database_url: str) -> Iterator[str]:
    """A server that keeps a secret in its data directory."""
    serve = [sys.executable, "-m", "orchboard", "serve", "--generate-secret", "--port", "0"]
    variables = {**shell, "POSTGRES": database_url}
    with subprocess.Popen(serve, env=variables, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
        server.terminate()


def test_the_commands_of_the_empty_pages_post_a_first_result_of_their_job_type(
    url: str, shell: dict[str, str]
) -> None:
    client = Client(url)
    for query in ("", "?job_type=ai"):
        page = client.get(f"/{query}")
        [command] = re.findall(r"<pre[^>]*><code>(.*)</code></pre>", page.data.decode())
        done = subprocess.run(["sh", "-c", unescape(command)], env=shell, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), done
        [row] = Document(client.get(f"/{query}")).cells
        assert row[0] == "1"
        [link] = re.findall(r"its page: +(\S+)", done.stdout)
        location = client.request("GET", link.removeprefix(url)).headers["Location"]
        assert Document(client.request("GET", location)).table("by-region")
