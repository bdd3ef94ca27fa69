"""What POSTGRES may say: libpq's URLs, each of its parameters, several hosts, and TLS that is verified."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from orchboard.cli.doctor import examine
from orchboard.postgres_parameters import PARAMETERS, SECRET_PARAMETERS
from orchboard.postgres_url import parse_url, without_password
from orchboard.store.diagnostics.findings import Level
from tests.cli.conftest import orchboard
from tests.support import libpq
from tests.support.libpq import DEBIAN, EMBEDDED
from tests.support.tls_postgres import KEY_PASSWORD, TLSPostgres, tls_postgres

__all__ = ["forker", "orchboard"]  # noqa: F822 - fixtures

_WORDS = st.text(st.sampled_from("ab:@/?#[]%,=&+ 0é.5"), max_size=4) | st.sampled_from(
    ["%40", "%2F", "%C3%A9", "a", "localhost", "::1", "%zz", "%00", "5432"]
)
_PAIRS = st.tuples(
    st.sampled_from([*PARAMETERS, "ssl", "requiressl", "search_path"]),
    st.sampled_from(["=", "=", "=", "", "=="]),
    _WORDS | st.sampled_from(["true", "1", "0", "require"]),
).map("".join)
_URLS = st.tuples(
    st.sampled_from(["postgres://", "postgresql://"]),
    st.lists(_WORDS | st.sampled_from(["@", ":", ",", "[", "]"]), max_size=6).map("".join),
    st.just("") | _WORDS.map("/{}".format),
    st.just("") | st.lists(_PAIRS, max_size=3).map(lambda pairs: "?" + "&".join(pairs)),
).map("".join)


@settings(max_examples=3000, deadline=None, database=None)
@given(_URLS)
def test_a_url_is_read_as_libpq_reads_it(url: str) -> None:
    try:
        ours = parse_url(url)
    except ValueError:
        assert libpq.parse(url) is None
    else:
        assert ours == libpq.parse(url)
        bare, password = without_password(url)
        assert password == ours.get("password", "")
        assert parse_url(bare) == {
            name: value for name, value in ours.items() if name not in SECRET_PARAMETERS
        }


def test_the_table_has_every_parameter_that_libpq_knows_with_its_variable() -> None:
    assert {name: parameter.variable for name, parameter in PARAMETERS.items()} == libpq.parameters()


class Row(Struct, frozen=True):
    """A parameter, with a value that lets in and one that does not; names in braces stand for parts of the server.

    good, bad -- None: there is none
    beside -- other parameters of the same URL
    psql -- of the PostgreSQL that knows the parameter
    """

    name: str
    good: str | None
    bad: str | None
    beside: str = ""
    psql: Path = DEBIAN


_VERIFIED = "sslmode=verify-full&sslrootcert={place}/ca.crt"
_CERTIFIED = "sslmode=require&sslcert={place}/client.crt&sslkey={place}/client.key"

ROWS = (
    Row("service", "right", "nosuch"),
    Row("user", "{user}", "nobody"),
    Row("password", "{password}", "wrong"),
    Row("passfile", "{place}/right.pass", "{place}/wrong.pass", "user={user}&password="),
    Row("channel_binding", "prefer", "nonsense"),
    Row("connect_timeout", "5", "soon"),
    Row("connect_timeout", "-1", ""),
    Row("dbname", "orchboard", "nosuch"),
    Row("host", "127.0.0.1", "/nosuch"),
    Row("host", "127.0.0.1,/nosuch", "127.0.0.1,/nosuch,x", "port={port},{port}"),
    Row("host", "{place}/socket", "{place}", "sslmode=require"),
    Row("hostaddr", "127.0.0.1", "127.0.0.300", "host=db.example"),
    Row("hostaddr", "127.0.0.1", "127.0.0.1,127.0.0.1", "host=db.example&port={port}"),
    Row("hostaddr", "127.0.0.1", "127.0.0.1,", f"host=db.example&{_VERIFIED}"),
    Row("port", "{port}", "http"),
    Row("port", "{port}", "70000"),
    Row("client_encoding", "LATIN1", "nonsense"),
    Row("options", "-c statement_timeout=5s", "-c nonsense=1"),
    Row("application_name", "board", None),
    Row("fallback_application_name", "board", None),
    Row("keepalives", "0", "nonsense"),
    Row("keepalives_idle", "7", "1.5"),
    Row("keepalives_interval", "7", "7s"),
    Row("keepalives_count", "7", "99999999999"),
    Row("tcp_user_timeout", "7000", "7s"),
    Row("sslmode", "require", "nonsense"),
    Row("sslnegotiation", "postgres", "nonsense", psql=EMBEDDED),
    Row("sslnegotiation", "postgres", "direct", "sslmode=prefer", psql=EMBEDDED),
    Row("sslcompression", "1", None),
    Row("sslcert", "{place}/client.crt", "{place}/names", "sslmode=require&sslkey={place}/client.key&sslpassword={key_password}"),
    Row("sslkey", "{place}/client.key", "{place}/names", "sslmode=require&sslcert={place}/client.crt&sslpassword={key_password}"),
    Row("sslpassword", "{key_password}", "wrong", _CERTIFIED),
    Row("sslcertmode", "allow", "nonsense", psql=EMBEDDED),
    Row("sslrootcert", "{place}/ca.crt", "{place}/client.crt", "sslmode=verify-full"),
    Row("sslrootcert", "{place}/ca.crt", "{place}/nosuch.crt", "sslmode=verify-ca"),
    Row("sslrootcert", "{place}/ca.crt", "{place}/client.crt", "sslmode=require"),
    Row("sslcrl", "{place}/nothing.crl", "{place}/revoked.crl", _VERIFIED),
    Row("sslcrldir", "{place}/nothing.d", "{place}/revoked.d", _VERIFIED),
    Row("sslsni", "0", None),
    Row("requirepeer", "", None),
    Row("require_auth", "scram-sha-256", "nonsense", psql=EMBEDDED),
    Row("require_auth", "!password,!md5", "!password,md5", psql=EMBEDDED),
    Row("min_protocol_version", "3.0", "2.0", psql=EMBEDDED),
    Row("max_protocol_version", "latest", "4", psql=EMBEDDED),
    Row("max_protocol_version", None, "3.0", "min_protocol_version=3.2", psql=EMBEDDED),
    Row("ssl_min_protocol_version", "TLSv1.3", "SSLv3", "sslmode=require"),
    Row("ssl_max_protocol_version", "tlsv1.2", "TLSv9", "sslmode=require"),
    Row("ssl_max_protocol_version", "TLSv1.3", "TLSv1.2", "sslmode=require&ssl_min_protocol_version=TLSv1.3"),
    Row("gssencmode", "prefer", "nonsense"),
    Row("krbsrvname", "postgres", None),
    Row("gsslib", "gssapi", None),
    Row("gssdelegation", "1", None, psql=EMBEDDED),
    Row("replication", "false", "nonsense"),
    Row("target_session_attrs", "read-write", "nonsense"),
    Row("target_session_attrs", "primary", "standby"),
    Row("target_session_attrs", "prefer-standby", "read-only"),
    Row("load_balance_hosts", "random", "nonsense", psql=EMBEDDED),
    Row("scram_client_key", "{client_key}", "nonsense", "scram_server_key={server_key}", psql=EMBEDDED),
    Row("scram_server_key", "{server_key}", "bm9uc2Vuc2U=", psql=EMBEDDED),
    Row("oauth_issuer", "https://issuer.example", None, psql=EMBEDDED),
    Row("oauth_client_id", "me", None, psql=EMBEDDED),
    Row("oauth_client_secret", "hush", None, psql=EMBEDDED),
    Row("oauth_scope", "all", None, psql=EMBEDDED),
    Row("sslkeylogfile", "/dev/null", None, psql=EMBEDDED),
)  # fmt: skip


@pytest.fixture(scope="module")
def database() -> Iterator[TLSPostgres]:
    """A Postgres that takes connections with and without TLS."""
    with tls_postgres(demands_tls=False) as server:
        for name, password in (("right", server.password), ("wrong", "wrong")):
            file = server.place / f"{name}.pass"
            file.write_text(f"*:*:*:*:{password}\n")
            file.chmod(0o600)
        (server.place / "services").write_text("[right]\nconnect_timeout=5\n")
        yield server


def _url(server: TLSPostgres, row: Row, value: str) -> str:
    """The value's URL; what is not asked about is right."""
    known: dict[str, object] = {
        "place": server.place, "port": server.port, "user": server.user, "password": server.password,
        "key_password": KEY_PASSWORD, "client_key": server.client_key, "server_key": server.server_key,
    }  # fmt: skip
    escaped = {name: quote(str(part), safe="/") for name, part in known.items()}
    right = f"postgresql://{server.login}@127.0.0.1:{server.port}/orchboard?sslmode=disable&{row.beside}"
    given = quote(value.format(**known), safe="/,!")
    return f"{right}{'&' if row.beside else ''}{row.name}={{given}}".format(**escaped, given=given)


def _doctor_connects(environ: dict[str, str]) -> bool:
    with ThreadPoolExecutor(1) as thread:  # playwright may keep a loop running in this one
        findings = thread.submit(lambda: list(examine(environ))).result()
    return any(finding.level is Level.OK and finding.about == "database" for finding in findings)


@pytest.mark.parametrize(
    ("row", "value", "connects"),
    [
        pytest.param(row, value, connects, id=f"{row.name}={value}")
        for row in ROWS
        for value, connects in ((row.good, True), (row.bad, False))
        if value is not None
    ],
)
def test_psql_and_doctor_agree_on_every_parameter(
    database: TLSPostgres,
    row: Row,
    value: str,
    connects: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    url = _url(database, row, value)
    for name, text in {"PGSERVICEFILE": f"{database.place}/services", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, text)
    environ = {"HOME": str(tmp_path), "PGSERVICEFILE": os.environ["PGSERVICEFILE"]}
    assert libpq.psql_connects(row.psql, url, environ) is connects
    assert _doctor_connects({"POSTGRES": url, "PORT": "0", "ORCHBOARD_DATA": str(tmp_path)}) is connects


def test_every_parameter_has_a_row() -> None:
    assert {row.name for row in ROWS} == set(PARAMETERS)
