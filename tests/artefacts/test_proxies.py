"""The configurations of contrib/nginx and contrib/caddy, with nothing replaced but names, ports and paths."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import urllib3

from orchboard.signing import sign
from tests.artefacts.proxies import CONTRIB, Proxy, caddy, nginx, orchboard
from tests.artefacts.tools import tool
from tests.support.recorded_exchanges import PROFILES, environment_of, replay
from tests.support.samples import transcoding
from tests.support.server import SECRET, Client
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

_OVER_TLS = Path(__file__).with_name("replay_over_tls.py")
_START: Mapping[str, Callable[[Path, int], AbstractContextManager[Proxy]]] = {"nginx": nginx, "caddy": caddy}

# What a proxy answers otherwise by its nature, and why.
_OTHERWISE = {
    # HTTP/1.0 without a Host: Caddy chooses a site by that, and answers 200 and nothing where there is none.
    "caddy": {"odd/big-response-http10"},
    "nginx": set[str](),
}


_FULL = pytest.mark.full


@pytest.mark.parametrize(
    ("proxy", "version"),
    [("nginx", "1.1"), ("nginx", "2"), ("caddy", "1.1"), pytest.param("caddy", "2", marks=_FULL)],
)
@pytest.mark.parametrize(
    "profile",
    [name if name == "default" else pytest.param(name, marks=_FULL) for name in PROFILES],
)
def test_the_exchanges_pass_through_a_proxy(
    profile: str, proxy: str, version: str, tmp_path: Path, database_url: str
) -> None:
    (tmp_path / "proxy").mkdir()
    if version == "2":
        tool("curl", remedy="apt-get install curl")
    with (
        orchboard(tmp_path / "server", environment_of(profile, database_url)) as port,
        _START[proxy](tmp_path / "proxy", port) as running,
    ):
        replay(
            profile, running.url, database_url,
            replayer=(_OVER_TLS, running.certificate, version), except_for=_OTHERWISE[proxy],
        )  # fmt: skip


@pytest.fixture(params=_START)
def behind(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Iterator[tuple[Proxy, Path]]:
    """A proxy before a server, and the file of what the server logs."""
    (tmp_path / "proxy").mkdir()
    with (
        orchboard(tmp_path / "server", {"POSTGRES": database_url, "STATUS_PAGE": "on"}) as port,
        _START[request.param](tmp_path / "proxy", port) as proxy,
    ):
        yield proxy, tmp_path / "server/said"


def http_of(proxy: Proxy, source: str = "127.0.0.1") -> urllib3.PoolManager:
    """A client that has an address, and believes the proxy's certificate."""
    return urllib3.PoolManager(
        retries=False, timeout=30, source_address=(source, 0), ca_certs=str(proxy.certificate)
    )


def test_the_address_in_the_log_is_the_clients_whatever_it_claims(behind: tuple[Proxy, Path]) -> None:
    proxy, said = behind
    claims = {
        "Authorization": "0" * 64,
        "X-Forwarded-For": "203.0.113.9",
        "Forwarded": "for=203.0.113.9",
        "X-Real-IP": "203.0.113.9",
    }
    http = http_of(proxy, "127.0.0.7")
    assert http.request("POST", f"{proxy.url}/api/post_stats", body=b"{}", headers=claims).status == 403
    wait_until(lambda: "127.0.0.7" in said.read_text())
    assert "203.0.113.9" not in said.read_text()


def test_a_result_is_stored_over_plain_http_without_a_redirect(behind: tuple[Proxy, Path]) -> None:
    proxy, _ = behind
    assert Client(f"http://localhost:{proxy.http}").post_stats(transcoding()).status == 200


@pytest.mark.parametrize("name", ["metrics", "status"])
def test_what_is_for_operators_is_not_shown_to_the_outside(behind: tuple[Proxy, Path], name: str) -> None:
    proxy, _ = behind
    encoded = f"/%{ord(name[0]):x}{name[1:]}"
    for path in (f"/{name}", f"/{name}/", f"//{name}", encoded, f"/x/../{name}", f"/{name}?x=1"):
        assert http_of(proxy).request("GET", proxy.url + path).status == 404, path


def test_a_body_over_the_limit_is_refused_in_json(behind: tuple[Proxy, Path]) -> None:
    proxy, _ = behind
    refused = http_of(proxy).request("POST", f"{proxy.url}/api/post_stats", body=b"x" * (17 * 1024 * 1024))
    assert refused.status == 413
    assert list(refused.json()) == ["error"]


class Breaking:
    """An upstream that answers a GET and keeps the connection, and closes it without an answer at a POST.

    posts -- how many came
    """

    def __init__(self) -> None:
        self.posts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while request := connection.recv(65536):
                if request.startswith(b"POST"):
                    self.posts += 1
                    return
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("proxy", _START)
def test_a_result_is_sent_once_though_the_kept_connection_breaks(proxy: str, tmp_path: Path) -> None:
    upstream = Breaking()
    with _START[proxy](tmp_path, upstream.port) as running:
        http = http_of(running)
        assert http.request("GET", f"{running.url}/api/regions").status == 200
        answer = http.request("POST", f"{running.url}/api/post_stats", body=b"{}")
    assert (answer.status, answer.headers["Retry-After"], list(answer.json())) == (503, "1", ["error"])
    assert upstream.posts == 1
    upstream.close()


def test_the_nginx_cache_sends_one_request_for_many_and_is_a_second_old_at_most(
    tmp_path: Path, database_url: str
) -> None:
    (tmp_path / "proxy").mkdir()
    with (
        orchboard(tmp_path / "server", {"POSTGRES": database_url}) as port,
        nginx(tmp_path / "proxy", port, caches=True) as proxy,
    ):
        http = http_of(proxy)
        direct = Client(f"http://127.0.0.1:{port}")
        url = f"{proxy.url}/api/aggregated_stats"

        def asked() -> int:
            return (tmp_path / "server/said").read_text().count("/api/aggregated_stats")

        def ask() -> urllib3.BaseHTTPResponse:
            return http.request("GET", url, headers={"Accept-Encoding": "gzip"})

        first = ask()
        assert first.headers["Cache-Control"] == "public, max-age=30, stale-while-revalidate=15"
        started = time.monotonic()
        answers = [ask() for _ in range(200)]
        elapsed_s = time.monotonic() - started
        assert {answer.data for answer in answers} == {first.data}
        not_modified = http.request(
            "GET", url, headers={"Accept-Encoding": "gzip", "If-None-Match": first.headers["ETag"]}
        )
        assert not_modified.status == 304
        plain = http.request("GET", url, headers={"Accept-Encoding": "identity"})
        assert (plain.data, plain.headers.get("Content-Encoding")) == (first.data, None)

        assert direct.post_stats(transcoding()).status == 200
        posted = time.monotonic()
        wait_until(lambda: ask().data != first.data)
        assert time.monotonic() - posted < 3  # a second, and the scheduling of a busy machine
        wait_until(lambda: asked() > 0)
        assert asked() < 10 + 2 * elapsed_s

        posts = [http.request("POST", f"{proxy.url}/api/post_stats", body=body, headers=headers)
                 for body, headers in [signed(transcoding())] * 2]  # fmt: skip
        assert [answer.data for answer in posts] == [b"ok", b"ok"]
        [orchestrator] = json.loads(direct.get("/api/aggregated_stats").data)
        raw = json.loads(direct.get("/api/raw_stats", orchestrator=orchestrator).data)
        assert sum(map(len, raw.values())) == 3
        health = [http.request("GET", f"{proxy.url}/api/health").headers["X-Request-Id"] for _ in range(2)]
        assert health[0] != health[1]


def signed(stats: dict[str, object]) -> tuple[bytes, dict[str, str]]:
    body = json.dumps(stats).encode()
    return body, {"Authorization": sign(body, SECRET)}


def test_caddy_accepts_its_configuration_as_it_is_shipped(tmp_path: Path) -> None:
    program = tool("caddy", remedy="apt-get install caddy")
    done = subprocess.run(
        [program, "validate", "--config", CONTRIB / "caddy/Caddyfile", "--adapter", "caddyfile"],
        env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
