"""What is posted is given back as it was, or refused in words; whatever it is, the server answers and goes on."""

import itertools
import json
import re
from typing import Any

from hypothesis import example, given

from tests.bodies import bodies
from tests.conftest import Client, transcoding
from tests.drawn import drawn
from tests.machine import differing
from tests.model import posted

_LONE = re.compile("[\ud800-\udfff]")


def whole(value: Any) -> Any:
    """A value with U+FFFD for what is no character."""
    if isinstance(value, str):
        return _LONE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {whole(name): whole(member) for name, member in value.items()}
    return [whole(item) for item in value] if isinstance(value, list) else value


def expected_row(body: bytes) -> dict[str, Any]:
    """What raw_stats is to give for a body that was stored."""
    row = posted(0.0, whole(json.loads(body.decode(errors="replace")))).row
    row["errors"] = [
        {"error_code": (error or {}).get("error_code") or "", "count": (error or {}).get("count") or 0}
        | ({"message": error["message"]} if error and error.get("message") else {})
        for error in row["errors"] or ()
    ]
    return row


def test_whatever_is_posted_is_given_back_or_refused(client: Client) -> None:
    numbers = itertools.count()

    @drawn(300)
    @given(bodies)
    @example(b'{"region":"FRA","orchestrator":"o","a":1,"a":2,"a":{"x":1,"x":2}}')
    @example(b'{"region":"FRA","orchestrator":"o","' + b"k" * 100_000 + b'":1}')
    @example(b'{"region":"FRA","orchestrator":"o","a":' + b"[" * 62 + b"0" + b"]" * 62 + b"}")
    @example(
        b'{"region":"FRA","orchestrator":"o","a":[1e308,5e-324,1e-400,1.7976931348623157e308,12345678901234567890123]}'
    )
    @example(
        b'{"region":"FRA","orchestrator":"o","errors":[null,{},{"count":-1,"message":"","error_code":"\xff"}]}'
    )
    def check(body: bytes) -> None:
        name = f"0x{next(numbers)}"
        body = body.replace(b'"0xAb"', f'"{name.upper()}"'.encode()).replace(b'"o"', f'"{name}"'.encode())
        answer = client.post(body)
        assert answer.status in (200, 400), answer.data
        if answer.status == 400:
            assert answer.json()["error"]
            return
        row = expected_row(body)
        job_type = "ai" if row["pipeline"] and row["model"] else "transcoding"
        answer = client.get("/api/raw_stats", orchestrator=row["orchestrator"], job_type=job_type)
        newest = answer.json()[row["region"]][0]
        assert list(differing(newest, row, "row")) == []

    check()
    assert client.post_stats(transcoding()).data == b"ok"
