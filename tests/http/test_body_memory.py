"""BODY_MEMORY_MB: what comes in and is not answered is bounded, and strangers can't take the testers' part of it."""

from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from orchboard import limits
from orchboard.api.trusted_proxies import Proxies
from orchboard.api.verified_addresses import VerifiedAddresses
from orchboard.config import Settings
from orchboard.http.request_memory import RequestMemory
from tests.store.postgres.test_database import locked
from tests.support.raw_http import Wire, get, head, post
from tests.support.samples import transcoding
from tests.support.server import RunningServer, StartServer
from tests.support.waiting import wait_until

MIB = 1024 * 1024
STRANGER, OTHER = "127.0.0.2", "127.0.0.3"


def bodies_of(server: RunningServer) -> RequestMemory:
    return server.services.memory


@pytest.fixture(params=[True, False], ids=["fast path", "ASGI"])
def served(
    request: pytest.FixtureRequest, settings: Settings, start_server: StartServer
) -> Iterator[RunningServer]:
    """A server with 8 MiB for bodies of 2 MiB; at the end nothing of that is taken."""
    server = start_server(
        replace(settings, fast_path=request.param, body_memory_bytes=8 * MIB, max_body_bytes=2 * MIB)
    )
    yield server
    bodies = bodies_of(server)
    wait_until(lambda: not server.connections)
    assert (bodies._used, bodies._unverified_used, bodies._by_address) == (0, 0, {})


def unfinished(stack: ExitStack, server: RunningServer, size: int, source: str) -> Wire:
    """A body of which all but the last byte has come, and has been counted."""
    wire = stack.enter_context(Wire(server.port, source=source))
    wire.send(head(f"Content-Length: {size + 1}") + b"x" * size)
    wait_until(
        lambda: (
            size in (held.size for share in bodies_of(server)._by_address.values() for held in share.parts)
        )
    )
    return wire


def test_the_largest_body_of_the_address_with_the_most_memory_is_refused(served: RunningServer) -> None:
    with ExitStack() as stack:
        large = unfinished(stack, served, MIB + MIB // 8, STRANGER)
        small = unfinished(stack, served, MIB // 8, STRANGER)
        other = unfinished(stack, served, MIB, OTHER)
        refused = large.reply()
        assert (refused.status, refused["retry-after"], refused["connection"]) == (503, "1", "close")
        assert [wire.ask(b"x").status for wire in (small, other)] == [403, 403]


def test_the_number_of_bodies_of_one_address_is_limited_and_others_are_not_affected(
    served: RunningServer,
) -> None:
    with ExitStack() as stack:
        for _ in range(limits.MAX_UNAUTHENTICATED_BODIES):
            stack.enter_context(Wire(served.port, source=STRANGER)).send(head("Content-Length: 5"))
        wait_until(
            lambda: (
                sum(share.bodies for share in bodies_of(served)._by_address.values())
                == limits.MAX_UNAUTHENTICATED_BODIES
            )
        )
        for lines in (
            ("Content-Length: 5",),
            ("Transfer-Encoding: chunked",),
            ("Content-Length: 5", "Expect: 100-continue"),
        ):
            one_more = stack.enter_context(Wire(served.port, source=STRANGER))
            refused = one_more.ask(head(*lines))
            assert (refused.status, refused["retry-after"], refused["connection"]) == (429, "1", "close")
            assert one_more.rest() == b""
        with Wire(served.port, source=STRANGER) as whole:
            assert whole.ask(post(transcoding())).status == 200, "it came at once"
        with Wire(served.port, source=OTHER) as other:
            sent = post(transcoding())
            other.send(sent[:-5])
            assert other.ask(sent[-5:]).status == 200


def test_a_content_length_over_the_limit_is_refused_before_the_body(served: RunningServer) -> None:
    with ExitStack() as stack:
        stack.enter_context(Wire(served.port, source=STRANGER)).send(
            head(f"Content-Length: {MIB + MIB // 2}")
        )
        wait_until(lambda: bool(bodies_of(served)._by_address))
        for lines in ((), ("Expect: 100-continue",)):
            one_more = stack.enter_context(Wire(served.port, source=STRANGER))
            assert one_more.ask(head(f"Content-Length: {MIB}", *lines)).status == 429


def test_a_verified_address_may_use_the_larger_part_of_the_memory(served: RunningServer) -> None:
    with ExitStack() as stack:
        signer = stack.enter_context(Wire(served.port, source=OTHER))
        assert signer.ask(post(transcoding())).status == 200
        stranger = unfinished(stack, served, MIB, STRANGER)
        large = transcoding(response_payload="x" * MIB)
        sent = post(large)
        wires = [stack.enter_context(Wire(served.port, source=OTHER)) for _ in range(5)]
        for wire in wires:
            wire.send(sent[:-5])
        wait_until(lambda: bodies_of(served)._used > 6 * MIB)
        assert [wire.ask(sent[-5:]).body for wire in wires] == [b"ok"] * 5
        assert stranger.ask(b"x").status == 403


def test_bodies_of_unverified_addresses_are_refused_before_those_of_verified_ones(
    served: RunningServer,
) -> None:
    with ExitStack() as stack:
        signer = stack.enter_context(Wire(served.port, source=OTHER))
        assert signer.ask(post(transcoding())).status == 200
        stranger = unfinished(stack, served, MIB + MIB // 2, STRANGER)
        sent = post(transcoding(response_payload="x" * (MIB + MIB // 2)))
        wires = [stack.enter_context(Wire(served.port, source=OTHER)) for _ in range(5)]
        for wire in wires:
            wire.send(sent[:-5])
        assert stranger.reply().status == 503
        assert [wire.ask(sent[-5:]).body for wire in wires] == [b"ok"] * 5


def test_a_client_behind_a_trusted_proxy_counts_as_itself(
    settings: Settings, start_server: StartServer
) -> None:
    server = start_server(replace(settings, trusted_proxies=(ip_network("127.0.0.1"),)))
    with ExitStack() as stack:
        for _ in range(limits.MAX_UNAUTHENTICATED_BODIES):
            stack.enter_context(Wire(server.port)).send(
                head("Content-Length: 5", "X-Forwarded-For: 203.0.113.9")
            )
        wait_until(
            lambda: (
                sum(share.bodies for share in bodies_of(server)._by_address.values())
                == limits.MAX_UNAUTHENTICATED_BODIES
            )
        )
        for client, status in (("203.0.113.9", 429), ("203.0.113.10", 403)):
            wire = stack.enter_context(Wire(server.port))
            wire.send(head("Content-Length: 5", f"X-Forwarded-For: {client}"))
            if status == 403:
                assert wire.is_silent(0.1)
                wire.send(b"hello")
            assert wire.reply().status == status
        signed = stack.enter_context(Wire(server.port))
        assert signed.ask(post(transcoding(), "X-Forwarded-For: 203.0.113.9")).status == 200
        wire = stack.enter_context(Wire(server.port))
        wire.send(head("Content-Length: 5", "X-Forwarded-For: 203.0.113.9"))
        assert wire.is_silent(0.1), "that address has signed now"


def test_an_ipv6_network_counts_as_one_client() -> None:
    signers = VerifiedAddresses(Proxies(()))
    signers.note(signers.address_of(("2001:db8:1:2:3::4", 1), ()))
    assert signers.address_of(("2001:db8:1:2::5", 1), ()) in signers
    assert signers.address_of(("2001:db8:1:3::5", 1), ()) not in signers
    assert signers.address_of(("::ffff:10.0.0.5", 1), ()) == "10.0.0.5"


def test_the_number_of_verified_addresses_is_bounded() -> None:
    signers = VerifiedAddresses(Proxies(()))
    for number in range(10_000):
        signers.note(f"10.0.{number >> 8}.{number & 255}")
    assert len(signers._addresses) == 4096
    assert "10.0.0.0" not in signers


def test_pipelined_requests_count_as_memory(served: RunningServer, settings: Settings) -> None:
    raw = get("/api/raw_stats?orchestrator=0xa")
    with ExitStack() as stack:
        stack.enter_context(locked(settings.postgres, "events"))
        wires = [stack.enter_context(Wire(served.port, source=STRANGER)) for _ in range(4)]
        for wire in wires:
            wire.send(raw + get("/api/nope") * 300)  # 1.2 MB
        wait_until(lambda: len(served.connections) < len(wires))
        assert bodies_of(served)._used <= 2 * MIB


def test_results_that_wait_for_the_database_do_not_count_as_request_memory(
    server: RunningServer, settings: Settings
) -> None:
    sent = post(transcoding(response_payload="x" * 100_000))
    with ExitStack() as stack:
        with locked(settings.postgres, "events"):
            wires = [stack.enter_context(Wire(server.port, source=OTHER)) for _ in range(5)]
            for wire in wires:
                wire.send(sent)
            wait_until(lambda: len(server.tasks) == 5)
            assert bodies_of(server)._used == 0
        assert [wire.reply().body for wire in wires] == [b"ok"] * 5
