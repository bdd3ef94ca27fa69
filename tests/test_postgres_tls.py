"""TLS to the database: certificates, its client's and its own, and what happens where there is none."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
from msgspec.structs import replace

from orchboard.config import Settings, read_settings
from orchboard.store.connection.failover import Hosts
from tests.support.database import run
from tests.support.samples import transcoding
from tests.support.server import Client, StartServer
from tests.support.tls_postgres import KEY_PASSWORD, TLSPostgres, tls_postgres


@pytest.fixture(scope="module")
def server() -> Iterator[TLSPostgres]:
    """A Postgres that takes no connection without TLS."""
    with tls_postgres(demands_tls=True) as running:
        yield running


def _url(server: TLSPostgres, parameters: str, host: str = "127.0.0.1") -> str:
    return f"postgresql://{server.login}@{host}:{server.port}/orchboard?{parameters}"


async def _ask(url: str, question: str) -> object:
    open_before = _open_files()
    try:
        connection = await Hosts(url).connect(timeout_s=20)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()
    finally:
        # asyncpg leaves a TLS connection that failed to the loop, which must not end before it is closed.
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                while _open_files() > open_before:
                    await asyncio.sleep(0.01)


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_the_first_host_that_answers_is_used_and_its_certificate_is_verified(
    server: TLSPostgres, settings: Settings, start_server: StartServer
) -> None:
    url = (
        f"postgresql://{server.login}@127.0.0.1:1,127.0.0.1:{server.port}/orchboard"
        f"?target_session_attrs=read-write&sslmode=verify-full&sslrootcert={server.place}/ca.crt"
    )
    client = Client(start_server(replace(settings, postgres=read_settings({"POSTGRES": url}).postgres)).url)
    assert client.post_stats(transcoding()).data == b"ok"


def test_an_untrusted_certificate_is_refused(
    server: TLSPostgres, settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    empty = tmp_path / "none.crt"
    empty.write_text("")
    url = _url(server, f"sslmode=verify-full&sslrootcert={empty}")
    client = Client(start_server(replace(settings, postgres=url)).url)
    assert client.get("/api/regions").status == 503


def test_a_url_as_a_host_hands_it_out_stores_results(
    server: TLSPostgres, settings: Settings, start_server: StartServer
) -> None:
    url = _url(
        server,
        "sslmode=require&channel_binding=require&connect_timeout=10&gssencmode=prefer&keepalives=1"
        "&keepalives_idle=30&application_name=board&options=-c%20work_mem%3D5MB",
    )
    client = Client(start_server(replace(settings, postgres=read_settings({"POSTGRES": url}).postgres)).url)
    assert client.post_stats(transcoding()).data == b"ok"
    assert (
        run(_ask(url, "SELECT current_setting('application_name') || current_setting('work_mem')"))
        == "board5MB"
    )


def test_the_certificate_is_verified_for_the_host_and_not_for_its_hostaddr(server: TLSPostgres) -> None:
    verified = f"hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={server.place}/ca.crt"
    assert run(
        _ask(_url(server, verified, "db.example"), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    )
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'other\.example'"):
        run(_ask(_url(server, verified, "other.example"), "SELECT 1"))
    verified = verified.replace("full", "ca")
    assert run(_ask(_url(server, verified, "other.example"), "SELECT 1")) == 1


def test_a_client_certificate_is_sent_unless_sslcertmode_is_disable(server: TLSPostgres) -> None:
    files = f"sslcert={server.place}/client.crt&sslkey={server.place}/client.key&sslpassword={KEY_PASSWORD}"
    question = "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert run(_ask(_url(server, f"sslmode=prefer&{files}"), question)) == "/CN=client"
    assert run(_ask(_url(server, f"sslmode=require&{files}&sslcertmode=disable"), question)) is None


def test_files_in_the_home_directory_are_used_where_none_are_named(
    server: TLSPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(asyncpg.ClientConfigurationError, match="sslmode=verify-full needs an sslrootcert"):
        run(_ask(_url(server, "sslmode=verify-full"), "SELECT 1"))
    directory = tmp_path / ".postgresql"
    directory.mkdir()
    for name, file in {
        "root.crt": "ca.crt",
        "postgresql.crt": "client.crt",
        "postgresql.key": "client.key",
    }.items():
        (directory / name).symlink_to(server.place / file)
    question = "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    url = _url(server, f"sslmode=verify-full&sslpassword={KEY_PASSWORD}")
    assert run(_ask(url, question)) == "/CN=client"
    (directory / "root.crl").symlink_to(server.place / "revoked.crl")
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        run(_ask(url, question))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("sslrootcert={0}/nosuch", "sslrootcert can't be used: {0}/nosuch: No such file or directory"),
        ("sslrootcert={0}/names", "sslrootcert can't be used: {0}/names: it contains no PEM data"),
        ("sslrootcert={0}/ca.crt&sslcrl={0}/nosuch", "sslcrl can't be used: {0}/nosuch: No such file or directory"),
        ("sslrootcert={0}/ca.crt&sslcrldir={0}/nosuch", "sslcrldir can't be used: {0}/nosuch: the directory does not exist"),
        ("sslrootcert={0}/ca.crt&sslcert={0}/nosuch", "sslcert and sslkey can't be used: {0}/nosuch, its key in the same file: No such"),
        ("sslrootcert={0}/ca.crt&sslcert={0}/client.crt&sslkey={0}/client.key&sslpassword=hush", "sslpassword does not decrypt the key"),
    ],
)  # fmt: skip
def test_a_named_file_that_cannot_be_used_stops_the_connection_by_name(
    server: TLSPostgres, parameters: str, message: str
) -> None:
    with pytest.raises(asyncpg.ClientConfigurationError) as raised:
        run(_ask(_url(server, f"sslmode=verify-ca&{parameters.format(server.place)}"), "SELECT 1"))
    assert message.format(server.place) in str(raised.value)
    assert "hush" not in str(raised.value)


def test_a_wrong_password_is_said_to_be_wrong_in_every_sslmode(server: TLSPostgres) -> None:
    for mode in ("allow", "prefer", "require"):
        url = f"postgresql://{server.user}:hush@127.0.0.1:{server.port}/orchboard?sslmode={mode}"
        with pytest.raises(asyncpg.InvalidPasswordError):
            run(_ask(url, "SELECT 1"))


def test_tls_is_used_if_available_and_optional_with_allow_and_prefer(
    server: TLSPostgres,
) -> None:
    question = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    for mode in ("allow", "prefer", "require"):
        assert run(_ask(_url(server, f"sslmode={mode}"), question)) is True
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="no encryption"):
        run(_ask(_url(server, "sslmode=disable"), "SELECT 1"))


@asynccontextmanager
async def _behind_tls(server: TLSPostgres) -> AsyncIterator[int]:
    """The port of a TLS that asks for nothing first, in front of the server's socket; PostgreSQL 17 has its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.place / "server.crt", server.place / "server.key")
    context.set_alpn_protocols(["postgresql"])

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "postgresql"
        path = f"{server.place}/socket/.s.PGSQL.{server.port}"
        from_server, to_server = await asyncio.open_unix_connection(path)
        await asyncio.gather(_pour(reader, to_server), _pour(from_server, writer))

    listening = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while some := await source.read(65536):
        sink.write(some)
        await sink.drain()
    sink.close()


def test_sslnegotiation_direct_begins_with_tls(server: TLSPostgres) -> None:
    async def ask() -> object:
        async with _behind_tls(server) as port:
            url = _url(
                server,
                f"sslmode=verify-full&sslrootcert={server.place}/ca.crt&sslnegotiation=direct&port={port}",
            )
            return await _ask(url, "SELECT 1")

    assert run(ask()) == 1


def test_sslrootcert_system_verifies_by_the_roots_of_the_system(
    server: TLSPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = _url(server, "sslrootcert=system")
    with pytest.raises(ssl.SSLCertVerificationError):
        run(_ask(url, "SELECT 1"))
    monkeypatch.setenv("SSL_CERT_FILE", f"{server.place}/ca.crt")
    assert run(_ask(url, "SELECT 1")) == 1
