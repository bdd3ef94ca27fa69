"""A gateway reads the leaderboard: as go-livepeer asks and decodes, in Python and in Go."""

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from tests.connect.pages import TIMEOUT_S, environment, find, read_page
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, RunningServer, StartServer

PAGE = read_page("gateways.md")
URLS = re.findall(r"-orchPerfStatsUrl 'https://leaderboard\.example\.org(.*?)'", PAGE)
OTHER = "0x525419FF5707190389bfb5C87c375D710F5fCb0E"


class DroppedError(Exception):
    """The gateway drops the whole document."""


def decode(document: bytes) -> dict[str, dict[str, dict[str, float]]]:
    """A map of addresses to maps of regions to maps of numbers, or nothing at all."""

    def refuse(word: str) -> float:
        raise DroppedError(word)

    found = json.loads(document, parse_constant=refuse)
    if not isinstance(found, dict):
        raise DroppedError("no object")
    for address, regions in found.items():
        if not re.fullmatch("0[xX][0-9a-fA-F]{40}", address) or not isinstance(regions, dict):
            raise DroppedError(address)
        for members in regions.values():
            if not isinstance(members, dict) or not all(
                type(one) in (int, float) for one in members.values()
            ):
                raise DroppedError(address)
    return found


def ask(url: str, target: str) -> bytes:
    """Send the request that Go's http.Get sends; the body of the answer."""
    place = urlsplit(url)
    request = (
        f"GET {target} HTTP/1.1\r\nHost: {place.netloc}\r\n"
        "User-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=30) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower() and b"content-encoding" not in head.lower()
    return body


@pytest.fixture
def strict(settings: Settings, start_server: StartServer) -> Iterator[RunningServer]:
    """A server that scores addresses only, as by default, with results that a gateway could choke on."""
    server = start_server(replace(settings, orchestrator_names="address"))
    client = Client(server.url)
    for result in (
        transcoding(region="FRA"),
        transcoding(region="FRA", orchestrator=OTHER, success_rate=0.5),
        transcoding(region="LAX", orchestrator=OTHER, round_trip_time=0, seg_duration=0, success_rate=0),
        transcoding(region="FRA", orchestrator="my-orchestrator"),
        transcoding(region="FRA", orchestrator=""" "error" """),
        ai(pipeline="Text to image"),
        ai(pipeline="Text to image", orchestrator=OTHER, round_trip_time=1e308, success_rate=-3),
        ai(pipeline="Text to image", orchestrator="0xNOT"),
        ai(pipeline="Upscale", model="a+b", success_rate=0),
    ):
        assert client.post_stats(result).data == b"ok"
    yield server


def test_the_page_has_a_url_for_transcoding_and_one_for_ai() -> None:
    assert [urlsplit(url).path for url in URLS] == ["/api/aggregated_stats"] * 2


@pytest.mark.parametrize("target", [*URLS, "/api/aggregated_stats?job_type=ai"])
def test_a_gateway_takes_the_document_of_every_url_of_the_page(target: str, strict: RunningServer) -> None:
    document = decode(ask(strict.url, target))
    assert set(document) == {ORCHESTRATOR, OTHER.lower()}
    assert all("score" in regions["FRA"] for regions in document.values())


def test_a_document_with_a_name_that_is_no_address_is_dropped_whole(
    settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replace(settings, orchestrator_names="any"))
    Client(server.url).post_stats(transcoding(orchestrator="my-orchestrator"))
    with pytest.raises(DroppedError, match="my-orchestrator"):
        decode(ask(server.url, "/api/aggregated_stats"))


@pytest.mark.parametrize("target", ["/api/aggregated_stats?pipeline=Upscale", "/api/aggregated_stat"])
def test_an_error_is_dropped_so_that_the_gateway_keeps_its_scores(target: str, strict: RunningServer) -> None:
    with pytest.raises(DroppedError, match="error"):
        decode(ask(strict.url, target))


ENCODED = re.findall(r"^\| (`.`|space) \| `(%..)`", PAGE, re.MULTILINE)


def test_the_table_of_characters_has_those_that_need_encoding() -> None:
    assert [written for written, _ in ENCODED] == ["space", "`/`", "`+`", "`&`"]


@pytest.mark.parametrize(("written", "encoded"), ENCODED)
def test_a_character_of_the_table_arrives_encoded_so(written: str, encoded: str, client: Client) -> None:
    model = f"a{' ' if written == 'space' else written[1]}b"
    client.post_stats(ai(model=model))
    assert client.request("GET", f"/api/aggregated_stats?pipeline=text-to-image&model=a{encoded}b").json()


# --- in Go, by its own decoder -----------------------------------------------------------------


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gateway of gateway.go, compiled."""
    go = find("go")
    program = tmp_path_factory.mktemp("gateway") / "gateway"
    source = Path(__file__).with_name("gateway.go")
    subprocess.run([go, "build", "-o", str(program), str(source)], env=environment("", ""), check=True)
    return program


def read_scores(gateway: Path, url: str, region: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([gateway, url, region], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("target", [*URLS, "/api/aggregated_stats?job_type=ai"])
def test_a_gateway_in_go_keeps_the_scores_of_its_region(
    target: str, gateway: Path, strict: RunningServer
) -> None:
    done = read_scores(gateway, strict.url + target, "fra")
    scores = {who: regions["FRA"]["score"] for who, regions in decode(ask(strict.url, target)).items()}
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == scores
    assert len(scores) == 2


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/api/aggregated_stats?pipeline=Upscale", '"error" is no address'),
        ("/api/aggregated_stats?pipeline=Text to image&model=m", "."),
    ],
)
def test_a_gateway_in_go_drops_an_error(
    target: str, reason: str, gateway: Path, strict: RunningServer
) -> None:
    done = read_scores(gateway, strict.url + target, "FRA")
    assert done.returncode == 1
    assert "dropped: " in done.stderr and re.search(reason, done.stderr)


def test_a_gateway_in_go_drops_a_document_with_a_name_that_is_no_address(
    gateway: Path, settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replace(settings, orchestrator_names="any"))
    Client(server.url).post_stats(transcoding(orchestrator="my-orchestrator"))
    done = read_scores(gateway, server.url + "/api/aggregated_stats", "MDW")
    assert 'dropped: "my-orchestrator" is no address' in done.stderr
