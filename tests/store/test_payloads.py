"""What is parsed can be stored: the spool acknowledges results that Postgres has not seen."""

import asyncio
import json

import asyncpg
from hypothesis import example, given

from orchboard.errors import BadInputError
from orchboard.results.parse import parse_stats
from tests.support.body_strategies import bodies
from tests.support.hypothesis_settings import fixed_examples

HEAD = b'{"region":"FRA","orchestrator":"o","mine":'


def own(value: str) -> bytes:
    return HEAD + value.encode() + b"}"


def test_postgres_holds_whatever_was_parsed(server_url: str) -> None:
    payloads: list[bytes] = []

    @fixed_examples(500)
    @given(bodies)
    @example(own("1e4299"))
    @example(own("1e4300"))
    @example(own("1e-16383"))
    @example(own("1e-16384"))
    @example(own("1.5e-16383"))
    @example(own("0e" + "9" * 50))
    @example(own("[" + "1e4000," * 250 + "0]"))
    @example(own("[" * 499 + "]" * 499))
    @example(own("[" * 30_000 + "]" * 30_000))
    @example(own("[" + "0," * 99_000 + "0]"))
    @example(own('{"\\u0000\\ud800":"\\u0000\\udfff"}'))
    @example(HEAD + b'"\xff\xed\xa0\x80\\\\u0000"}')
    @example(HEAD + b'1,"' + b"k" * 300_000 + b'":{"' + b"k" * 300_000 + b'":"' + b"v" * 3_000_000 + b'"}}')
    def parse(body: bytes) -> None:
        try:
            payloads.append(parse_stats(body).payload)
        except BadInputError:
            return

    async def hold() -> None:
        connection = await asyncpg.connect(server_url)
        try:
            for payload in payloads:
                kept = json.loads(
                    await connection.fetchval("SELECT ($1::text::jsonb)::text", payload.decode())
                )
                assert kept["region"]
        finally:
            await connection.close()

    parse()
    assert len(payloads) > 25  # the examples depend on constants in all modules, which Hypothesis draws from
    asyncio.run(hold())
