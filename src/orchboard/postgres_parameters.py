"""The connection parameters of libpq (PostgreSQL 18), their validation, and whether they are supported."""

import re
from base64 import b64decode
from collections.abc import Callable

from msgspec import Struct

Check = Callable[[str], None]


def _any(_: str) -> None:
    pass


class Parameter(Struct, frozen=True):
    """A connection parameter.

    variable -- the environment variable that sets it if neither the URL nor the service file does; empty: none
    check -- raises ValueError with the valid values
    ignored -- why it has no effect; empty: it is supported
    harmless -- values for which the missing effect makes no difference
    """

    name: str
    variable: str
    check: Check = _any
    ignored: str = ""
    harmless: tuple[str, ...] = ("",)


def _one_of(*values: str) -> Check:
    def check(value: str) -> None:
        if value not in values:
            raise ValueError(f"one of {', '.join(values)}")

    return check


def integer(value: str) -> int:
    """Parse an integer as libpq does. Raises ValueError."""
    if not re.fullmatch(r"\s*[+-]?[0-9]+\s*", value) or not -(2**31) <= int(value) < 2**31:
        raise ValueError("a whole number")
    return int(value)


def _integer(value: str) -> None:
    integer(value)


def _ports(value: str) -> None:
    for port in value.split(","):
        try:
            known = not port or 1 <= integer(port) <= 65535
        except ValueError:
            known = False
        if not known:
            raise ValueError("a number from 1 to 65535, or several separated by commas")


def _hosts(value: str) -> None:
    if any(host.startswith("@") for host in value.split(",")):
        raise ValueError("a name, an address or a directory: abstract sockets are not supported")


def _tls_version(value: str) -> None:
    if value and value.lower() not in TLS_VERSIONS:
        raise ValueError("one of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3")


def _gssencmode(value: str) -> None:
    if value not in ("disable", "prefer"):
        raise ValueError("disable or prefer: GSSAPI encryption is not supported")


def _replication(value: str) -> None:
    if value.lower() not in ("", "0", "false", "off", "no"):
        raise ValueError("false: replication connections are not supported")


_METHODS = frozenset({"password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"})


def _require_auth(value: str) -> None:
    methods = value.split(",") if value else []
    names = {method.removeprefix("!") for method in methods}
    mixed = len({method.startswith("!") for method in methods}) > 1
    if not names <= _METHODS or len(names) < len(methods) or mixed:
        raise ValueError(f"some of {', '.join(sorted(_METHODS))}, or some of them with ! before each")


def _scram_key(value: str) -> None:
    try:
        is_key = len(b64decode(value, validate=True)) == 32
    except ValueError:
        is_key = False
    if not is_key:
        raise ValueError("32 bytes in base64")


# PostgreSQL's encodings and their aliases, normalized as the server does: lower case, letters and digits only.
_ENCODING = re.compile(
    "|".join((
        "auto|abc|alt|big5|euc(cn|jis2004|jp|kr|tw)|gb18030|gbk|iso8859(1|10|13|14|15|16|[2-9])|johab|koi8(r|u)?",
        "latin([1-9]|10)|mskanji|muleinternal|shiftjis(2004)?|sjis|sqlascii|tcvn(5712)?|uhc|unicode|utf8|vscii",
        "win(1250|125[1-8]|866|874|932|936|949|950)?|windows(125[0-8]|866|874|932|936|949|950)",
    ))
)  # fmt: skip


def _encoding(value: str) -> None:
    if value and not _ENCODING.fullmatch(re.sub("[^a-z0-9]", "", value.lower())):
        raise ValueError("an encoding of PostgreSQL")


TLS_VERSIONS = ("tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3")
PROTOCOLS = ("3.0", "3.2", "latest")
_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SESSIONS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")

_NO_OAUTH = "authentication by OAuth is not supported"
_NO_SCRAM_KEY = "authentication uses the password, not a SCRAM key"
_PROTOCOL = "the driver uses version 3.0 of the protocol"

PARAMETERS: dict[str, Parameter] = {
    parameter.name: parameter
    for parameter in (
        Parameter("service", "PGSERVICE"),
        Parameter("user", "PGUSER"),
        Parameter("password", "PGPASSWORD"),
        Parameter("passfile", "PGPASSFILE"),
        Parameter("channel_binding", "PGCHANNELBINDING", _one_of("disable", "prefer", "require"),
                  "not enforced: the driver has no channel binding; use sslmode=verify-full to authenticate the server", ("disable", "prefer")),
        Parameter("connect_timeout", "PGCONNECT_TIMEOUT", _integer),
        Parameter("dbname", "PGDATABASE"),
        Parameter("host", "PGHOST", _hosts),
        Parameter("hostaddr", "PGHOSTADDR"),
        Parameter("port", "PGPORT", _ports),
        Parameter("client_encoding", "PGCLIENTENCODING", _encoding, "it is always UTF8", ("", "UTF8", "utf8", "UTF-8", "utf-8", "auto")),
        Parameter("options", "PGOPTIONS"),
        Parameter("application_name", "PGAPPNAME"),
        Parameter("fallback_application_name", ""),
        Parameter("keepalives", "", _integer),
        Parameter("keepalives_idle", "", _integer),
        Parameter("keepalives_interval", "", _integer),
        Parameter("keepalives_count", "", _integer),
        Parameter("tcp_user_timeout", "", _integer),
        Parameter("sslmode", "PGSSLMODE", _one_of(*_SSLMODES)),
        Parameter("sslnegotiation", "PGSSLNEGOTIATION", _one_of("postgres", "direct")),
        Parameter("sslcompression", "PGSSLCOMPRESSION", ignored="TLS is never compressed", harmless=("", "0")),
        Parameter("sslcert", "PGSSLCERT"),
        Parameter("sslkey", "PGSSLKEY"),
        Parameter("sslcertmode", "PGSSLCERTMODE", _one_of("disable", "allow", "require"),
                  "not enforced: the server may not request the client's certificate", ("disable", "allow")),
        Parameter("sslpassword", ""),
        Parameter("sslrootcert", "PGSSLROOTCERT"),
        Parameter("sslcrl", "PGSSLCRL"),
        Parameter("sslcrldir", "PGSSLCRLDIR"),
        Parameter("sslsni", "PGSSLSNI", ignored="the server's name is always sent", harmless=("", "1")),
        Parameter("requirepeer", "PGREQUIREPEER", ignored="not enforced: the user of the server process is not checked"),
        Parameter("require_auth", "PGREQUIREAUTH", _require_auth,
                  "not enforced: the server chooses the method; use sslmode=verify-full to authenticate the server"),
        Parameter("min_protocol_version", "PGMINPROTOCOLVERSION", _one_of(*PROTOCOLS), _PROTOCOL, ("3.0",)),
        Parameter("max_protocol_version", "PGMAXPROTOCOLVERSION", _one_of(*PROTOCOLS)),
        Parameter("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", _tls_version),
        Parameter("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", _tls_version),
        Parameter("gssencmode", "PGGSSENCMODE", _gssencmode),
        Parameter("krbsrvname", "PGKRBSRVNAME"),
        Parameter("gsslib", "PGGSSLIB", ignored="GSSAPI is the only supported library", harmless=("", "gssapi")),
        Parameter("gssdelegation", "PGGSSDELEGATION", ignored="no credentials are delegated", harmless=("", "0")),
        Parameter("replication", "", _replication),
        Parameter("target_session_attrs", "PGTARGETSESSIONATTRS", _one_of(*_SESSIONS)),
        Parameter("load_balance_hosts", "PGLOADBALANCEHOSTS", _one_of("disable", "random")),
        Parameter("scram_client_key", "", _scram_key, _NO_SCRAM_KEY),
        Parameter("scram_server_key", "", _scram_key, _NO_SCRAM_KEY),
        Parameter("oauth_issuer", "", ignored=_NO_OAUTH),
        Parameter("oauth_client_id", "", ignored=_NO_OAUTH),
        Parameter("oauth_client_secret", "", ignored=_NO_OAUTH),
        Parameter("oauth_scope", "", ignored=_NO_OAUTH),
        Parameter("sslkeylogfile", "", ignored="TLS keys are never written to a file"),
    )
}  # fmt: skip

# Parameters whose values are never shown.
SECRET_PARAMETERS = frozenset(
    {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)
