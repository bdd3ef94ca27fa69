import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import urllib3

from tests.support.program import Orchboard, environment
from tests.support.samples import transcoding
from tests.support.server import SECRET, Client

StartServe = Callable[..., tuple["subprocess.Popen[str]", str]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[StartServe]:
    """Start `orchboard serve` on a free port; the process and what it printed before it served."""
    running: list[subprocess.Popen[str]] = []

    def start(
        *arguments: str, called: Sequence[str] = ("-m", "orchboard", "serve"), **variables: str
    ) -> tuple[subprocess.Popen[str], str]:
        program = subprocess.Popen(
            [sys.executable, *called, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(tmp_path, **{"PORT": "0", **variables}),
            cwd=tmp_path,
        )
        running.append(program)
        assert program.stdout is not None
        return program, "".join(program.stdout.readline() for _ in range(3))

    yield start
    for program in running:
        program.kill()
        program.communicate()


def address_of(banner: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:[0-9]+", banner)
    assert found, banner
    return found[0]


def wait_until_well(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            if urllib3.request("GET", f"{url}/api/health", retries=False, timeout=5).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            pass
        assert time.monotonic() < deadline, "the server did not get well"
        time.sleep(0.02)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_serves_and_ctrl_c_ends_it_quietly(
    serve: StartServe, orchboard: Orchboard, database_url: str, workers: str
) -> None:
    program, banner = serve("--workers", workers, POSTGRES=database_url, SECRET=SECRET, LOG_LEVEL="error")
    url = address_of(banner)
    wait_until_well(url)
    assert orchboard("post", "--example", "--url", url).status == 0
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=20)
    assert (out, err) == ("", "")
    assert program.returncode in (0, 130)


def test_with_nothing_to_parse_it_serves_without_a_parser(serve: StartServe, database_url: str) -> None:
    """It would stay in memory for as long as the server runs."""
    program = "import sys; sys.modules['cyclopts'] = None; from orchboard.cli import main; main(['serve'])"
    _, banner = serve(called=("-c", program), POSTGRES=database_url, SECRET=SECRET)
    wait_until_well(address_of(banner))


def test_the_banner_says_where_and_hides_the_password(serve: StartServe, database_url: str) -> None:
    _, banner = serve(POSTGRES=database_url, SECRET=SECRET)
    password = database_url.split("@")[0].rpartition(":")[2]
    where, data, first = banner.splitlines()
    assert where.startswith("orchboard is at   http://127.0.0.1:")
    assert data.startswith("its data is in    postgresql://")
    assert password not in banner
    assert SECRET not in banner
    assert f"post --example --url {address_of(banner)}" in first


def test_a_port_in_use_is_one_sentence_with_the_remedy(orchboard: Orchboard, database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        done = orchboard("serve", PORT=port, POSTGRES=database_url)
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith(f"orchboard: 127.0.0.1 port {port} is in use: choose another with --port")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PORT": "http"}, "PORT can't be read"),
        ({"POSTGRES": "mysql://x"}, "POSTGRES can't be read"),
        ({"POSTGRES": "postgresql://h:x/y"}, "POSTGRES can't be read"),
        ({"HOST": "192.0.2.1"}, "can't listen on 192.0.2.1 port 8080"),
    ],
)
def test_a_wrong_setting_is_one_sentence(orchboard: Orchboard, variables: dict[str, str], words: str) -> None:
    done = orchboard("serve", **variables)
    assert (done.status, done.out) == (3, "")
    assert words in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_secrets_in_files_reach_every_worker(
    serve: StartServe, database_url: str, tmp_path: Path, workers: str
) -> None:
    (tmp_path / "now").write_text("the new secret of all\n")
    (tmp_path / "before").write_text("short")
    files = {"SECRET_FILE": str(tmp_path / "now"), "SECRET_PREVIOUS_FILE": str(tmp_path / "before")}
    program, banner = serve("--workers", workers, POSTGRES=database_url, LOG_LEVEL="warn", **files)
    url = address_of(banner)
    wait_until_well(url)
    for _ in range(8):  # connections of their own, so that each worker has some
        client = Client(url)
        answers = [
            client.post_stats(transcoding(), secret=text) for text in ("the new secret of all", "short")
        ]
        assert [answer.data for answer in answers] == [b"ok"] * 2
        assert client.post_stats(transcoding(), secret="another").status == 403
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=20)
    warned = "SECRET_PREVIOUS is shorter than 16 bytes: it can be guessed from one signed result"
    assert (err.count(warned), err.count("is shorter than")) == (1, 1), err
