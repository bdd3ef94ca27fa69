"""Which requests to a running server took the fast path."""

from typing import Any

import pytest

from orchboard.http.fast_get import FastGets, GetServices
from tests.support.server import RunningServer


def get_services_of(server: RunningServer) -> GetServices:
    return server.services.gets


def record_cached_answers(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The methods of the requests that are answered from the cache on the fast path, from now on."""
    answer, methods = FastGets._answer_from_cache, list[bytes]()

    def record(self: FastGets, route: Any, method: bytes, *arguments: Any) -> bool:
        is_answered = answer(self, route, method, *arguments)
        if is_answered:
            methods.append(method)
        return is_answered

    monkeypatch.setattr(FastGets, "_answer_from_cache", record)
    return methods
