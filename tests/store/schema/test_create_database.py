"""The database of a URL is created if it does not exist."""

import asyncio
import os
from urllib.parse import quote

import pytest

from orchboard.errors import SetupError
from orchboard.store.schema.create_database import ensure_database
from tests.support.database import with_database
from tests.support.migrations import run, sql


def test_a_missing_database_is_created_once_by_sixteen_at_once(server_url: str) -> None:
    name = f"made_{os.getpid()} with \"quotes'"
    url = with_database(server_url, quote(name))

    async def create() -> list[bool]:
        return await asyncio.gather(*(ensure_database(url) for _ in range(16)))

    try:
        assert sorted(run(create())) == [False] * 15 + [True]
        assert run(sql(url, "SELECT current_database()")) == [(name,)]
        assert run(ensure_database(url)) is False
    finally:
        run(sql(server_url, 'DROP DATABASE IF EXISTS "' + name.replace('"', '""') + '" WITH (FORCE)'))


def test_a_role_without_createdb_gets_an_error(server_url: str) -> None:
    role = f"plain_{os.getpid()}"
    run(sql(server_url, f"CREATE ROLE {role} LOGIN PASSWORD 'plain'"))
    owner = server_url.split("://")[1].split("@")[0]
    url = with_database(server_url.replace(owner, f"{role}:plain"), "missing_one")
    try:
        with pytest.raises(SetupError, match="'missing_one' does not exist and could not be created"):
            run(ensure_database(url))
    finally:
        run(sql(server_url, f"DROP ROLE {role}"))
