"""What is posted is given back as it was, or refused in words; whatever it is, the server answers and goes on."""

import itertools
import json
import math
import sys
from decimal import Decimal
from typing import Any

from hypothesis import example, given

from tests.support.answer_differences import json_differences
from tests.support.body_strategies import bodies
from tests.support.hypothesis_settings import fixed_examples
from tests.support.leaderboard_model import MAX_DIGITS, result_of_post
from tests.support.samples import transcoding
from tests.support.server import Client


def number(text: str) -> float | int:
    """A number as it is written out; infinite, when it has too many digits for that."""
    exact = Decimal(text)
    if exact.adjusted() >= MAX_DIGITS:
        return math.inf
    value = float(text)
    return value if math.isfinite(value) else int(exact)


def expected_row(body: bytes) -> dict[str, Any]:
    """What raw_stats is to give for a body that was stored."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)  # Python reads what lies deeper than the server keeps
    try:
        row = result_of_post(0.0, json.loads(body.decode(errors="replace"), parse_float=number)).row
    finally:
        sys.setrecursionlimit(limit)
    row["errors"] = [
        {"error_code": (error or {}).get("error_code") or "", "count": (error or {}).get("count") or 0}
        | ({"message": error["message"]} if error and error.get("message") else {})
        for error in row["errors"] or ()
    ]
    return row


def test_whatever_is_posted_is_given_back_or_refused(client: Client) -> None:
    numbers = itertools.count()

    @fixed_examples(300)
    @given(bodies)
    @example(b'{"region":"FRA","orchestrator":"o","a":1,"a":2,"a":{"x":1,"x":2}}')
    @example(b'{"region":"FRA","orchestrator":"o","' + b"k" * 100_000 + b'":1}')
    @example(b'{"region":"FRA","orchestrator":"o","a":' + b"[" * 498 + b"0" + b"]" * 498 + b"}")
    @example(
        b'{"region":"FRA","orchestrator":"o","a":' + b"[" * 500 + b"]" * 500 + b',"b":1e4300,"c":1e4299}'
    )
    @example(
        b'{"region":"FRA","orchestrator":" o\\t","a\\u0000":["\\u0000"],"errors":[{"message":"\\u0000","x":1e9999}]}'
    )
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
            assert answer.json()["error"] != "the result contains data that can't be stored", (
                "Postgres found out, not we"
            )
            return
        row = expected_row(body)
        job_type = "ai" if row["pipeline"] and row["model"] else "transcoding"
        answer = client.get("/api/raw_stats", orchestrator=row["orchestrator"], job_type=job_type)
        newest = answer.json()[row["region"]][0]
        assert list(json_differences(newest, row, "row")) == []

    check()
    assert client.post_stats(transcoding()).data == b"ok"
