"""Which way the requests to a running server went."""

from typing import Any

import pytest

from orchboard.http.fast_path import FastPath
from tests.support.server import RunningServer


def fast_path_of(server: RunningServer) -> FastPath:
    way: FastPath = server._server.lifespan.state["fast_path"]
    return way


def record_cached_answers(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The methods of those whose answer was known, from now on."""
    way, methods = fast_path_of(server), list[bytes]()
    answer = way.answer

    def record(known: Any, method: bytes, *arguments: Any) -> Any:
        found = answer(known, method, *arguments)
        if found is not None:
            methods.append(method)
        return found

    monkeypatch.setattr(way, "answer", record)
    return methods
