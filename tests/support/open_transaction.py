"""A transaction that stays open during a test, in another thread."""

import asyncio
import threading
from typing import Any

import asyncpg


class OpenTransaction:
    """Executes a statement in a transaction, which `commit` commits."""

    def __init__(self, url: str, statement: str, *arguments: Any) -> None:
        self._is_written, self._may_commit = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(url, statement, arguments)))
        self._thread.start()
        assert self._is_written.wait(30)

    async def _run(self, url: str, statement: str, arguments: tuple[Any, ...]) -> None:
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction():
                await connection.execute(statement, *arguments)
                self._is_written.set()
                await asyncio.to_thread(self._may_commit.wait)
        finally:
            await connection.close()

    def commit(self) -> None:
        """Commit and wait for the end."""
        self._may_commit.set()
        self._thread.join()
