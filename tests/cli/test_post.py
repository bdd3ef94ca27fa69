import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3

from orchboard.client import Client as OrchboardClient
from orchboard.client import ClientError
from tests.support.program import Orchboard
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import SECRET, Client, RunningServer


def count(client: Client, job_type: str = "transcoding") -> int:
    stored = client.get("/api/raw_stats", orchestrator=ORCHESTRATOR, job_type=job_type).json()
    return sum(map(len, stored.values()))


def test_files_of_every_shape_are_stored(
    orchboard: Orchboard, server: RunningServer, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "one.json").write_text(json.dumps(transcoding(), indent=2))
    (tmp_path / "array.json").write_text(json.dumps([transcoding(), transcoding()]))
    (tmp_path / "lines.jsonl").write_text(f"{json.dumps(transcoding())}\n\n{json.dumps(ai())}\n")
    done = orchboard("post", "one.json", "array.json", "lines.jsonl", ORCHBOARD_URL=server.url)
    assert (done.status, done.out, done.err) == (0, "stored 5\n", "")
    assert (count(client), count(client, "ai")) == (4, 1)


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_standard_input_is_stored(
    orchboard: Orchboard, server: RunningServer, client: Client, arguments: tuple[str, ...]
) -> None:
    body = json.dumps(transcoding()).encode()
    done = orchboard("post", *arguments, "--url", f"{server.url}/api/post_stats", stdin=body)
    assert (done.status, count(client)) == (0, 1), done


def test_each_refusal_names_its_file_and_reason_and_the_others_are_stored(
    orchboard: Orchboard, server: RunningServer, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "cut.json").write_text('{"region":')
    (tmp_path / "nowhere.json").write_text(json.dumps([transcoding(), transcoding(region="NOWHERE")]))
    files = ("cut.json", "missing.json", "nowhere.json")
    done = orchboard("post", *files, "--url", server.url)
    assert done.status == 1
    assert done.out == "stored 1, refused 3\n"
    cut, missing, nowhere = done.err.splitlines()
    assert cut.startswith("orchboard: cut.json: not JSON")
    assert missing == "orchboard: missing.json: No such file or directory"
    assert nowhere == "orchboard: nowhere.json[2]: invalid region"
    assert orchboard("post", "nowhere.json", "--url", server.url, "--json").json() == {
        "stored": 1,
        "refused": [{"source": "nowhere.json[2]", "error": "invalid region"}],
        "not_sent": 0,
    }


def test_another_secret_is_found_out_at_the_first_result(
    orchboard: Orchboard, server: RunningServer, client: Client
) -> None:
    body = json.dumps([transcoding()] * 3).encode()
    done = orchboard("post", "--url", server.url, stdin=body, SECRET="another")
    assert (done.status, done.out, count(client)) == (1, "stored 0, refused 1, not sent 2\n", 0)
    assert "check that SECRET equals the server's" in done.err


def test_without_a_secret_nothing_is_sent(orchboard: Orchboard, server: RunningServer) -> None:
    done = orchboard("post", "--example", "--url", server.url, SECRET="")
    assert (done.status, done.out) == (3, "")
    assert "SECRET is not set" in done.err


def test_an_example_of_an_unknown_job_type_is_refused_by_name(
    orchboard: Orchboard, server: RunningServer
) -> None:
    done = orchboard("post", "--example", "video", "--url", server.url)
    assert (done.status, done.out) == (1, "")
    assert "--example must be transcoding or ai, not 'video'" in done.err


def test_the_kept_secret_signs(
    orchboard: Orchboard, server: RunningServer, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/secret").write_text("testsecret\n")
    assert orchboard("post", "--example", "--url", server.url, SECRET="").status == 0


@pytest.mark.parametrize("named", [(), ("transcoding",), ("ai",)])
def test_the_example_can_be_looked_at_where_it_says(
    orchboard: Orchboard, server: RunningServer, named: tuple[str, ...]
) -> None:
    done = orchboard("post", "--example", *named, "--url", server.url)
    page, raw = (line.split()[-1] for line in done.out.splitlines()[1:])
    rows = json.loads(urllib3.request("GET", raw).data)
    assert [row["region"] for row in rows["MDW"]] == ["MDW"]
    assert page.startswith(f"{server.url}/?{'job_type=ai&' if 'ai' in named else ''}orchestrator=0x")
    assert '<a href="/methods#rank">Rank</a></dt> <dd>1 ' in urllib3.request("GET", page).data.decode()


@pytest.fixture
def losing_proxy(server: RunningServer) -> Iterator[Callable[[], str]]:
    """A proxy before the server that passes every POST on, but loses the first answer."""

    class Handler(BaseHTTPRequestHandler):
        passed = 0

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = urllib3.request("POST", server.url + self.path, body=body, headers=dict(self.headers))
            Handler.passed += 1
            if Handler.passed == 1:
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.end_headers()
            self.wfile.write(answer.data)

        def do_OPTIONS(self) -> None:
            answer = urllib3.request("OPTIONS", server.url + self.path)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    proxy = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
    yield lambda: f"http://127.0.0.1:{proxy.server_port}"
    proxy.shutdown()
    proxy.server_close()


def test_a_lost_answer_stores_a_result_once_because_of_its_key(
    orchboard: Orchboard, losing_proxy: Callable[[], str], client: Client
) -> None:
    body = json.dumps(transcoding()).encode()
    assert orchboard("post", "--url", losing_proxy(), stdin=body).status == 0
    assert count(client) == 1


def test_without_a_key_a_result_that_may_have_arrived_is_not_sent_again(
    orchboard: Orchboard, losing_proxy: Callable[[], str], client: Client
) -> None:
    body = json.dumps(transcoding()).encode()
    done = orchboard("post", "--url", losing_proxy(), "--no-key", stdin=body)
    assert (done.status, count(client)) == (1, 1)
    assert done.err.endswith("the connection was closed; it may be stored or not\n")


def test_the_client_makes_a_key_when_it_is_given_none(
    losing_proxy: Callable[[], str], client: Client
) -> None:
    body = json.dumps(transcoding()).encode()
    OrchboardClient(losing_proxy(), secret=SECRET).post(body)
    assert count(client) == 1


@pytest.mark.parametrize("status", [502, 503, 504])
def test_without_a_key_only_what_surely_stored_nothing_is_retried(status: int) -> None:
    asked: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(429 if not asked else status)
            self.send_response(asked[-1])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
        with pytest.raises(ClientError):
            OrchboardClient(f"http://127.0.0.1:{proxy.server_port}", secret=SECRET).post(b"{}", key="")
        proxy.shutdown()
    assert asked == [429, status]


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_byte_order_mark_is_no_part_of_a_result(
    orchboard: Orchboard, server: RunningServer, client: Client, tmp_path: Path, mark: bytes
) -> None:
    one, line = json.dumps(transcoding(), indent=1).encode(), json.dumps(transcoding()).encode()
    (tmp_path / "one.json").write_bytes(mark + one)
    (tmp_path / "array.json").write_bytes(mark + b"[" + line + b"]")
    (tmp_path / "joined.jsonl").write_bytes(mark + line + b"\n" + mark + line + b"\r\n")
    done = orchboard("post", "one.json", "array.json", "joined.jsonl", "--url", server.url)
    assert (done.out, done.err) == ("stored 4\n", "")
    assert orchboard("post", "--url", server.url, stdin=mark + line).status == 0
    assert count(client) == 5


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_another_encoding_is_named(orchboard: Orchboard, encoding: str) -> None:
    done = orchboard("post", "--url", "http://127.0.0.1:1", stdin=json.dumps(transcoding()).encode(encoding))
    assert (done.status, done.out) == (1, "stored 0, refused 1\n")
    assert "save it as UTF-8" in done.err
    assert "UTF-16" in done.err or "UTF-32" in done.err


def test_a_server_that_is_away_is_waited_for_until_the_time_limit(orchboard: Orchboard) -> None:
    body = json.dumps([transcoding()] * 2).encode()
    done = orchboard("post", "--url", "http://127.0.0.1:1", "--timeout", "0.5", stdin=body)
    assert (done.status, done.out) == (1, "stored 0, refused 1, not sent 1\n")
    assert done.err.splitlines() == [
        "orchboard: no answer from http://127.0.0.1:1: connection refused; retrying for 0.5 s",
        "orchboard: standard input[1]: no answer from http://127.0.0.1:1: connection refused",
    ]
