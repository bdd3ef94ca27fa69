"""Which requests to a running server took the fast path."""

from typing import Any

import pytest

from orchboard.http.fast_path import FastConnection, FastPath
from tests.support.server import RunningServer


def fast_path_of(server: RunningServer) -> FastPath:
    fast_path = server.services.fast_path
    assert fast_path is not None
    return fast_path


def record_cached_answers(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The methods of the requests that are answered from the cache on the fast path, from now on."""
    answer, methods = FastConnection._answer_from_cache, list[bytes]()

    def record(self: FastConnection, route: Any, method: bytes, *arguments: Any) -> bool:
        is_answered = answer(self, route, method, *arguments)
        if is_answered:
            methods.append(method)
        return is_answered

    monkeypatch.setattr(FastConnection, "_answer_from_cache", record)
    return methods
