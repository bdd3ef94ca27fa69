"""The parameters of a connection: from the URL, its service, the PG… variables and libpq's defaults."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from orchboard.errors import SetupError
from orchboard.postgres_parameters import PARAMETERS, PROTOCOLS, TLS_VERSIONS, integer
from orchboard.postgres_url import parse_url
from orchboard.store.connection.home import home, user_name
from orchboard.store.connection.keepalives import Keepalives
from orchboard.store.connection.password_file import find_password, is_private
from orchboard.store.connection.service_file import read_service
from orchboard.store.connection.tls import SYSTEM, TLS

_DEFAULT_PORT = "5432"

# Socket directories of Debian's builds of Postgres, and of Postgres's own.
_SOCKET_DIRECTORIES = ("/run/postgresql", "/var/run/postgresql", "/tmp")  # noqa: S108 - Postgres's own default

_STRONG = ("require", "verify-ca", "verify-full")


class Host(Struct, frozen=True):
    """One host of a database.

    name -- as in the URL; used for the certificate and the password file. Empty for the default socket
    address -- connected to instead of the name, unless empty
    """

    name: str
    address: str
    port: int

    @property
    def target(self) -> str:
        """The host name, address or socket directory to connect to."""
        return self.address or self.name or self._socket_directory()

    @property
    def is_socket(self) -> bool:
        """Whether the connection uses a Unix socket."""
        return self.target.startswith("/")

    def _socket_directory(self) -> str:
        socket = f".s.PGSQL.{self.port}"
        return next(
            (path for path in _SOCKET_DIRECTORIES if Path(path, socket).exists()), _SOCKET_DIRECTORIES[0]
        )


class Ignored(Struct, frozen=True):
    """A parameter that was given but has no effect, and why."""

    name: str
    why: str


class Conninfo(Struct, frozen=True, kw_only=True):
    """The parameters of one database, resolved for the driver.

    password -- empty: read from the password file
    dbname -- empty: not given; the user name is the default
    connect_timeout_s -- time limit per host; None: not given
    ignored -- parameters without effect
    """

    hosts: tuple[Host, ...]
    user: str
    password: str
    passfile: Path
    dbname: str
    server_settings: dict[str, str]
    connect_timeout_s: float | None
    target_session_attrs: str
    in_random_order: bool
    krbsrvname: str
    keepalives: Keepalives
    tls: TLS
    ignored: tuple[Ignored, ...]

    def password_at(self, host: Host, dbname: str) -> str:
        """The password for a host; empty when none is given."""
        if self.password:
            return self.password
        name = host.name or host.address
        key = "localhost" if not name or name in _SOCKET_DIRECTORIES else name
        return find_password(self.passfile, host=key, port=host.port, dbname=dbname, user=self.user)


def resolve(url: str, environ: Mapping[str, str] = os.environ) -> Conninfo:
    """Resolve a URL as libpq does: parameters that it lacks come from its service, then from the environment.

    Raises SetupError, without any values, for parameters that are invalid or contradict each other.
    """
    given = _gather(url, environ)
    hosts = _hosts(given)
    tls = _tls(given, environ)
    lowest = given.get("min_protocol_version", PROTOCOLS[0])
    highest = given.get("max_protocol_version", PROTOCOLS[-1])
    if PROTOCOLS.index(lowest) > PROTOCOLS.index(highest):
        raise SetupError("POSTGRES can't be used: min_protocol_version is above max_protocol_version")
    if tls.mode == "verify-full" and any(host.address and not host.name for host in hosts):
        raise SetupError("POSTGRES can't be used: sslmode=verify-full needs host, and there is only hostaddr")
    user = given.get("user") or user_name()
    passfile = Path(given.get("passfile") or home(environ) / ".pgpass")
    connect_timeout_s = integer(given.get("connect_timeout", "0"))
    return Conninfo(
        hosts=hosts,
        user=user,
        password=given.get("password", ""),
        passfile=passfile,
        dbname=given.get("dbname", ""),
        server_settings=_server_settings(given),
        connect_timeout_s=connect_timeout_s if connect_timeout_s > 0 else None,
        target_session_attrs=given.get("target_session_attrs", "any"),
        in_random_order=given.get("load_balance_hosts") == "random",
        krbsrvname=given.get("krbsrvname") or "postgres",
        keepalives=Keepalives.from_parameters(given),
        tls=tls,
        ignored=(*_ignored(given, tls), *_ignored_passfile(given, passfile)),
    )


def _gather(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """All parameters that are given, each from the first source that has it; checked."""
    try:
        from_url = parse_url(url)
    except ValueError as error:
        raise SetupError(f"POSTGRES can't be read: it must be {error}") from None
    service = from_url.get("service") or environ.get("PGSERVICE", "")
    from_service = read_service(service, environ) if service else {}
    given = {}
    for name, parameter in PARAMETERS.items():
        variable = environ.get(parameter.variable)
        sources = (
            ("POSTGRES", from_url.get(name)),
            (f"The service {service!r}", from_service.get(name)),
            (parameter.variable, variable or None),
        )
        source, value = next((found for found in sources if found[1] is not None), ("", None))
        if value is None:
            continue
        try:
            parameter.check(value)
        except ValueError as error:
            raise SetupError(f"{source} can't be read: {name} must be {error}") from None
        given[name] = value
    return given


def _hosts(given: Mapping[str, str]) -> tuple[Host, ...]:
    names, addresses, ports = (given.get(name, "").split(",") for name in ("host", "hostaddr", "port"))
    number = max(len(names), len(addresses))
    for name, values in (("host", names), ("hostaddr", addresses), ("port", ports)):
        if values == [""] or (name == "port" and len(values) == 1):
            values *= number
        if len(values) != number:
            raise SetupError(
                f"POSTGRES can't be used: there are {number} hosts, and {len(values)} times {name}"
            )
    return tuple(
        Host(name, address, int(port or _DEFAULT_PORT))
        for name, address, port in zip(names, addresses, ports, strict=True)
    )


def _tls(given: Mapping[str, str], environ: Mapping[str, str]) -> TLS:
    root = given.get("sslrootcert", "")
    weakest = "require" if environ.get("PGREQUIRESSL", "").startswith("1") else "prefer"
    mode = given.get("sslmode") or ("verify-full" if root == SYSTEM else weakest)
    minimum, maximum = (given.get(f"ssl_{end}_protocol_version", "").lower() for end in ("min", "max"))
    direct = given.get("sslnegotiation") == "direct"
    if root == SYSTEM and mode != "verify-full":
        raise SetupError("POSTGRES can't be used: sslrootcert=system needs sslmode=verify-full")
    if direct and mode not in _STRONG:
        raise SetupError(f"POSTGRES can't be used: sslnegotiation=direct needs sslmode={', '.join(_STRONG)}")
    if minimum and maximum and TLS_VERSIONS.index(minimum) > TLS_VERSIONS.index(maximum):
        raise SetupError("POSTGRES can't be used: ssl_min_protocol_version is above ssl_max_protocol_version")
    return TLS(
        mode=mode,
        direct=direct,
        rootcert=root,
        crl=given.get("sslcrl", ""),
        crldir=given.get("sslcrldir", ""),
        sends_certificate=given.get("sslcertmode") != "disable",
        cert=given.get("sslcert", ""),
        key=given.get("sslkey", ""),
        password=given.get("sslpassword", ""),
        minimum=minimum,
        maximum=maximum,
        directory=home(environ) / ".postgresql",
    )


def _server_settings(given: Mapping[str, str]) -> dict[str, str]:
    application = given.get("application_name") or given.get("fallback_application_name")
    settings = {"application_name": application, "options": given.get("options")}
    return {name: value for name, value in settings.items() if value}


def _ignored(given: Mapping[str, str], tls: TLS) -> Iterator[Ignored]:
    for name, value in given.items():
        parameter = PARAMETERS[name]
        if parameter.ignored and value not in parameter.harmless:
            yield Ignored(name, parameter.ignored)
        elif name in ("sslrootcert", "sslcrl", "sslcrldir") and value and not tls.verifies:
            yield Ignored(name, f"not enforced: with sslmode={tls.mode} no certificate is verified")


def _ignored_passfile(given: Mapping[str, str], passfile: Path) -> Iterator[Ignored]:
    try:
        if not given.get("password") and not is_private(passfile):
            yield Ignored("passfile", f"{passfile} is not a plain file that only its owner may read")
    except OSError as error:
        if given.get("passfile"):
            yield Ignored("passfile", f"{passfile} can't be read: {error.strerror}")
