"""What schemathesis makes of our document: whatever is asked, the answer is one that the document tells of."""

from collections import Counter
from typing import Any

import requests
from hypothesis import given
from schemathesis import Case

from tests.support.hypothesis_settings import fixed_examples
from tests.support.openapi_requests import ask, cases
from tests.support.samples import ai, transcoding
from tests.support.server import Client, RunningServer


def test_every_answer_is_as_documented(server: RunningServer) -> None:
    client = Client(server.url)
    for result in (ai(), transcoding(), ai(region="MDW", orchestrator="0xb")):
        client.post_stats(result)
    statuses: Counter[int] = Counter()

    @fixed_examples(400)
    @given(cases())
    def check(case: "Case[Any]") -> None:
        statuses[ask(case, server.url, session)] += 1

    with requests.Session() as session:
        check()
    assert statuses.keys() >= {200, 400}
    assert max(statuses) < 500
    assert client.post_stats(transcoding()).data == b"ok"
