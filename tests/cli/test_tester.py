import json
import re

import pytest

from tests.support.program import Orchboard
from tests.support.samples import transcoding
from tests.support.server import Client, RunningServer
from tests.support.waiting import wait_until

BODY = json.dumps([transcoding(), transcoding(region="FRA")]).encode()


def test_a_tester_is_given_a_key_posts_with_it_and_loses_it(
    orchboard: Orchboard, server: RunningServer, client: Client, database_url: str
) -> None:
    added = orchboard("tester", "add", "fra-1", "--region", "fra", POSTGRES=database_url)
    assert (added.status, len(added.out.splitlines())) == (0, 1), added
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=\n", added.out)
    key = added.out.strip()
    sent = orchboard("post", "--tester", "fra-1", "--url", server.url, stdin=BODY, SECRET=key)
    assert sent.out == "stored 1, refused 1\n"
    assert sent.err == "orchboard: standard input[1]: fra-1 may not post results from region MDW\n"
    listed = orchboard("tester", "list", POSTGRES=database_url)
    assert key not in listed.out + listed.err
    assert listed.out.splitlines()[2].split()[:2] == ["fra-1", "FRA"]
    twice = orchboard("tester", "add", "fra-1", POSTGRES=database_url)
    assert (twice.status, twice.out) == (1, "")
    assert "fra-1 already has a key: `orchboard tester revoke fra-1`" in twice.err
    assert (
        orchboard("tester", "revoke", "fra-1", POSTGRES=database_url).out == "the key of fra-1 is revoked\n"
    )

    def is_refused() -> bool:
        again = orchboard("post", "--url", server.url, stdin=BODY, SECRET=key, ORCHBOARD_TESTER="fra-1")
        return (
            again.out == "stored 0, refused 1, not sent 1\n"
            and again.status == 1
            and "check that SECRET is the key of fra-1 and not revoked" in again.err
        )

    wait_until(is_refused, within_s=10)  # servers know of it within a second or two
    (one,) = orchboard("tester", "list", "--json", POSTGRES=database_url).json()["testers"]
    assert one["regions"] == ["FRA"]
    assert one["revoked_at"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("add", "two words"), "1 to 56 letters"),
        (("add", "x", "--region", "NOPE", "--region", "FRA"), "there is no region NOPE: "),
        (("revoke", "nobody"), "nobody has no key"),
    ],
)
def test_what_cant_be_done_is_refused(
    orchboard: Orchboard, database_url: str, arguments: tuple[str, ...], reason: str
) -> None:
    done = orchboard("tester", *arguments, POSTGRES=database_url)
    assert (done.status, done.out) == (1, "")
    assert reason in done.err
