"""The service file, the password file and the PG… variables, as libpq takes them."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchboard.config import read_settings
from orchboard.errors import SetupError
from orchboard.postgres_parameters import PARAMETERS
from orchboard.store.connection.conninfo import Conninfo, Host, resolve
from tests.support import libpq


def _private(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(0o600)
    return file


def _password(conninfo: Conninfo) -> str:
    return conninfo.password_at(conninfo.hosts[0], conninfo.dbname or conninfo.user)


_WORDS = st.text(st.sampled_from("ab:\\*# é5"), max_size=4)
_HOST_FIELDS = st.sampled_from(["*", "a", "localhost", "/tmp", "5", "\\a"])
_NAME_FIELDS = st.sampled_from(["*", "a", "b", "a\\:b", "\\\\", "\\*", "a\\:", "a\\"])
_FITTING = st.tuples(_HOST_FIELDS, st.sampled_from(["*", "5", "5432"]), _NAME_FIELDS, _NAME_FIELDS, _WORDS)
_LINES = st.lists((_FITTING | st.lists(_WORDS, min_size=3, max_size=6)).map(":".join), min_size=1, max_size=4)
_NAMES = st.sampled_from(["a", "b", "a:b", "\\", "*", "a:", "5"])


@settings(max_examples=2000, deadline=None, database=None)
@given(
    _LINES, _NAMES, _NAMES, st.sampled_from(["a", "localhost", "/tmp", "5", ""]), st.sampled_from([5, 5432])
)
def test_the_password_file_is_read_as_libpq_reads_it(
    lines: list[str], user: str, dbname: str, host: str, port: int
) -> None:
    encode = "".join(f"%{byte:02X}" for byte in host.encode())
    login, name = ("".join(f"%{byte:02X}" for byte in text.encode()) for text in (user, dbname))
    with_hostaddr = (
        "" if host.startswith("/") or not host else "&hostaddr=127.0.0.1"
    )  # libpq looks no name up
    file = _private(
        Path(os.environ["ORCHBOARD_DATA"]).with_name(f"pass{os.getpid()}"), "\n".join(lines) + "\n"
    )
    url = f"postgresql://{login}@/{name}?host={encode}&port={port}&passfile={file}{with_hostaddr}"
    assert _password(resolve(url, {})) == libpq.password(url)


def test_a_colon_in_a_password_is_escaped_in_the_password_file(tmp_path: Path) -> None:
    file = _private(tmp_path / "pass", "# none\r\ndb:5433:board:me:co\\:lon\\\\slash\r\n*:*:*:*:other\n")
    found = resolve("postgresql://me@db:5433,db2/board", {"PGPASSFILE": str(file)})
    passwords = [found.password_at(host, "board") for host in found.hosts]
    assert passwords == ["co:lon\\slash", "other"]


def test_a_password_file_that_others_can_read_is_ignored_and_reported(tmp_path: Path) -> None:
    file = _private(tmp_path / ".pgpass", "*:*:*:*:hush\n")
    assert _password(resolve("postgresql://me@db", {"HOME": str(tmp_path)})) == "hush"
    file.chmod(0o640)
    found = resolve("postgresql://me@db", {"HOME": str(tmp_path)})
    assert _password(found) == ""
    assert [(ignored.name, str(file) in ignored.why) for ignored in found.ignored] == [("passfile", True)]


def test_the_url_comes_before_the_service_and_the_service_before_the_environment(tmp_path: Path) -> None:
    services = tmp_path / "services"
    services.write_text(
        "[other]\nuser=nobody\n# [board]\n[board]\n  user=me \npassword=50%(pass)s%\nuser=second\n\nport=1\n[more]\nhost=no\n"
    )
    environ = {
        "PGSERVICEFILE": str(services),
        "PGHOST": "db",
        "PGPORT": "2",
        "PGUSER": "env",
        "PGDATABASE": "x",
    }
    found = resolve("postgresql:///board?service=board&sslmode=disable", environ)
    assert found.hosts == (Host("db", "", 1),)
    assert (found.user, found.password, found.dbname) == ("me", "50%(pass)s%", "board")
    by_variable = resolve("postgresql://", {**environ, "PGSERVICE": "board", "PGSSLMODE": "disable"})
    assert (by_variable.user, by_variable.dbname, by_variable.tls.mode) == ("me", "x", "disable")


def test_the_service_file_is_found_where_libpq_finds_it(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "pg_service.conf").write_text("[system]\nuser=root\n[both]\nuser=root\n")
    (tmp_path / ".pg_service.conf").write_text("[both]\nuser=me\n")
    environ = {"HOME": str(tmp_path), "PGSYSCONFDIR": str(tmp_path / "etc")}
    users = [resolve(f"postgresql://?service={name}", environ).user for name in ("system", "both")]
    assert users == ["root", "me"]
    with pytest.raises(SetupError, match="there is no service 'none' in "):
        resolve("postgresql://?service=none", environ)


@pytest.mark.parametrize("line", ["search_path=hush", "hush", "service=hush", "ldap://hush", "host =hush"])
def test_a_service_line_that_cannot_be_read_is_named_and_not_shown(tmp_path: Path, line: str) -> None:
    services = tmp_path / "services"
    services.write_text(f"[board]\n\n{line}\n")
    with pytest.raises(SetupError, match=f"the service file {services}, line 3: ") as raised:
        resolve("postgresql://?service=board", {"PGSERVICEFILE": str(services)})
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "environ", "message"),
    [
        ("postgresql://db", {"PGSSLMODE": "hush"}, "PGSSLMODE can't be read: sslmode must be one of disable, allow"),
        ("postgresql://a,b,c?port=1,2", {}, "there are 3 hosts, and 2 times port"),
        ("postgresql://a?hostaddr=1.1.1.1,1.1.1.2", {}, "there are 2 hosts, and 1 times host"),
        ("postgresql://db?sslrootcert=system&sslmode=require", {}, "sslrootcert=system needs sslmode=verify-full"),
        ("postgresql://db?sslnegotiation=direct", {}, "sslnegotiation=direct needs sslmode=require, verify-ca, verify-full"),
        ("postgresql://?hostaddr=1.1.1.1", {"PGSSLMODE": "verify-full"}, "sslmode=verify-full needs host"),
    ],
)  # fmt: skip
def test_contradictory_parameters_are_named(url: str, environ: dict[str, str], message: str) -> None:
    with pytest.raises(SetupError, match=message) as raised:
        resolve(url, environ)
    assert "hush" not in str(raised.value)


_ASKING = {
    "channel_binding": "require", "client_encoding": "LATIN1", "sslcompression": "1", "sslcertmode": "require",
    "sslsni": "0", "requirepeer": "postgres", "require_auth": "scram-sha-256", "min_protocol_version": "3.2",
    "gsslib": "sspi", "gssdelegation": "1", "scram_client_key": f"{'A' * 43}%3D", "scram_server_key": f"{'A' * 43}%3D",
    "oauth_issuer": "x", "oauth_client_id": "x", "oauth_client_secret": "x", "oauth_scope": "x", "sslkeylogfile": "x",
}  # fmt: skip


def test_each_parameter_without_effect_is_reported() -> None:
    assert set(_ASKING) == {name for name, parameter in PARAMETERS.items() if parameter.ignored}
    for name, value in _ASKING.items():
        ignored = resolve(f"postgresql://db?{name}={value}", {}).ignored
        assert [found.name for found in ignored] == [name]
        for harmless in filter(None, PARAMETERS[name].harmless):
            assert not resolve(f"postgresql://db?{name}={harmless}", {}).ignored


def test_an_unused_revocation_list_is_reported_as_ignored() -> None:
    ignored = resolve("postgresql://db?sslmode=prefer&sslcrl=/x&sslrootcert=/y", {"HOME": "/nowhere"}).ignored
    assert {found.name for found in ignored} == {"sslcrl", "sslrootcert"}


@settings(max_examples=1000, deadline=None, database=None)
@given(
    st.text(st.sampled_from("@:/?#[]%,=&+ a"), max_size=5),
    st.text(st.sampled_from("@:/?#[]%,=& a"), max_size=5),
)
def test_no_message_shows_a_password(before: str, after: str) -> None:
    for url in (
        f"postgresql://me:{before}hunter2{after}@db/board",
        f"postgresql://me@db/board?password={before}hunter2{after}",
        f"postgresql://me@db/board?user=you&password={before}hunter2{after}&sslmode=require",
        f"postgresql://me@db/board?sslpassword={before}hunter2{after}",
    ):
        try:
            read_settings({"POSTGRES": url})
        except SetupError as error:
            assert "hunter2" not in str(error)
            assert error.__cause__ is None and error.__suppress_context__


def test_a_url_without_a_host_is_a_socket() -> None:
    [host] = resolve("postgresql:///board", {}).hosts
    assert host.is_socket and host.port == 5432
    [host] = resolve("postgresql://%2Frun%2Fa/board?port=5433", {}).hosts
    assert (host.target, host.is_socket, host.port) == ("/run/a", True, 5433)
    [first, second] = resolve("postgresql://[::1]:5433,[fe80::1]/board", {}).hosts
    assert (first.target, first.port, second.target, second.port) == ("::1", 5433, "fe80::1", 5432)
