"""The table of answers in docs/connect/testers.md: each refusal of a POST is in it, with the words the server sends."""

import json
import re
import subprocess
import sys
import time

import pytest
from msgspec.structs import replace

from orchboard.api.refusals import STATUS
from orchboard.config import Settings
from orchboard.errors import BadTokenError
from orchboard.signing import sign, sign_webhook
from tests.connect.pages import environment, read_page
from tests.support.samples import transcoding
from tests.support.server import SECRET, Client, StartServer

PAGE = read_page("testers.md")
BODY = json.dumps(transcoding()).encode()
TABLE = PAGE.partition("## Responses")[2].partition("\n## ")[0]


def row(status: int, words: str = "") -> str:
    """The row of the table for a status, and for these words where it names some."""
    rows = [line for line in TABLE.splitlines() if re.match(rf"\| [\d, ]*\b{status}\b", line)]
    quoted = [
        line for line in rows if (found := re.search(r"`([^`]+)` \|", line)) and _shows(found[1], words)
    ]
    return quoted[0] if quoted else next((line for line in rows if "`" not in line.split("|")[1]), "")


def _shows(pattern: str, words: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part.strip()) for part in pattern.split("…")), words) is not None


# A token is what GET /api/upkeep asks for, no POST.
OF_POSTS = {status for error, status in STATUS.items() if error is not BadTokenError}


@pytest.mark.parametrize("status", sorted({*OF_POSTS, 200, 404, 405, 408, 500}))
def test_every_status_of_the_server_is_in_the_table(status: int) -> None:
    assert row(status) or row(status, "request can not be authenticated"), status


def webhook(secret: str, key: str, ago_s: int = 0) -> dict[str, str]:
    moment = int(time.time()) - ago_s
    signature = sign_webhook(BODY, secret, webhook_id=key, timestamp=moment)
    return {"webhook-id": key, "webhook-timestamp": str(moment), "webhook-signature": signature}


def test_the_server_refuses_with_the_words_of_the_table(
    settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replace(settings, max_body_bytes=1024 * 1024))
    client = Client(server.url)
    bare = {"Authorization": sign(BODY, SECRET)}

    def refuse(
        status: int, words: str, headers: dict[str, str], *, body: bytes = BODY, path: str = "/api/post_stats"
    ) -> None:
        answer = client.request("POST", path, body=body, headers=headers)
        assert answer.status == status
        said = answer.json()["error"]
        assert words in said
        assert row(status, said), said

    def refuse_body(status: int, words: str, body: bytes, **headers: str) -> None:
        refuse(status, words, {"Authorization": sign(body, SECRET), **headers}, body=body)

    def refuse_result(words: str, **members: object) -> None:
        refuse_body(400, words, json.dumps(transcoding(**members)).encode())

    refuse_body(400, "JSON", b"{")
    refuse_result("success_rate", success_rate="1")
    refuse_result("orchestrator", orchestrator="")
    refuse_result("orchestrator", orchestrator="x" * 57)
    refuse_result("pipeline", pipeline="x" * 257, model="m")
    refuse_result("invalid region", region="NOWHERE")
    refuse(403, "request can not be authenticated", {})
    refuse(403, "request can not be authenticated", {"Authorization": "Bearer " + bare["Authorization"]})
    refuse(403, "request can not be authenticated", {"Authorization": bare["Authorization"].upper()})
    refuse(403, "webhook-timestamp is ", webhook(SECRET, "old", ago_s=400))
    refuse(404, "", bare, path="/api/post_stats/api/post_stats")
    refuse(405, "", bare, path="/api/regions")
    refuse_body(413, "", b" " * (1024 * 1024 + 1))
    refuse(415, "Content-Encoding", {**bare, "Content-Encoding": "gzip"})
    assert client.post(BODY, key="one").data == b"ok"
    refuse_body(422, "used for a different body", BODY + b" ", **{"Idempotency-Key": "one"})


def test_the_refusal_of_a_bare_signature_is_in_the_table(
    settings: Settings, start_server: StartServer
) -> None:
    answer = Client(start_server(replace(settings, require_timestamped_signatures=True)).url).post(BODY)
    assert answer.status == 403
    assert "webhook signatures only" in row(403, answer.json()["error"])


def test_the_refusal_of_a_region_is_in_the_table(settings: Settings, start_server: StartServer) -> None:
    key = subprocess.run(
        [sys.executable, "-m", "orchboard", "tester", "add", "fra-1", "--region", "FRA"],
        env=environment("", "", POSTGRES=settings.postgres),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    client = Client(start_server(settings).url)
    headers = {"Authorization": sign(BODY, key), "Orchboard-Tester": "fra-1"}
    answer = client.request("POST", "/api/post_stats", body=BODY, headers=headers)
    assert answer.status == 403
    assert "limited to other regions" in row(403, answer.json()["error"])


def test_a_key_in_the_header_is_ignored_beside_a_webhook_signature(
    settings: Settings, start_server: StartServer
) -> None:
    client = Client(start_server(settings).url)
    for number in range(2):
        headers = {**webhook(SECRET, f"id-{number}"), "Idempotency-Key": "the same"}
        assert client.request("POST", "/api/post_stats", body=BODY, headers=headers).data == b"ok"
    assert len(client.get("/api/raw_stats", orchestrator=transcoding()["orchestrator"]).json()["MDW"]) == 2
