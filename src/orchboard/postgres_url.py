"""Parses PostgreSQL connection URLs as libpq does: https://www.postgresql.org/docs/18/libpq-connect.html

Error messages contain no values, as any value may be part of a password.
"""

import re
from urllib.parse import unquote_to_bytes

from orchboard.postgres_parameters import PARAMETERS, SECRET_PARAMETERS

_HOST = r"(?:\[[^\]]+\]|(?!\[)[^:/?,]*)(?::[^/?,]*)?"
_URL = re.compile(
    r"(?P<scheme>postgres(?:ql)?://)"
    r"(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?(?P<at>@))?+"  # possessive: an `@` before the first `/` ends a login
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)"
    r"(?P<dbname>/[^?]*)?"
    r"(?:\?(?P<query>.*))?",
    re.DOTALL,
)


def parse_url(url: str) -> dict[str, str]:
    """The parameters of a URL, by libpq's names, including user, host, port and dbname.

    Raises ValueError for a URL that libpq refuses too. The message completes the sentence "it must be …".

    >>> parse_url("postgresql://me@db1:5433,db2/board?connect_timeout=5")
    {'user': 'me', 'host': 'db1,db2', 'port': '5433,', 'dbname': 'board', 'connect_timeout': '5'}
    """
    parts = _split(url)
    hosts, ports = _split_hosts(parts["hosts"])
    before = {
        "user": parts["user"],
        "password": parts["password"],
        "host": hosts,
        "port": ports,
        "dbname": parts["dbname"][1:],
    }
    parameters = {name: _decode(value) for name, value in before.items() if value}
    previous = ""
    for pair in _pairs(parts["query"]):
        name, value = _parse_pair(pair)
        if name not in PARAMETERS:
            raise ValueError(_unknown(name, previous, parts["query"]))
        parameters[name] = value
        previous = name
    return parameters


def check_url(url: str) -> None:
    """Raise ValueError if a URL or a value in it is invalid. The message completes the sentence "it must be …"."""
    for name, value in parse_url(url).items():
        try:
            PARAMETERS[name].check(value)
        except ValueError as error:
            raise ValueError(f"a URL whose {name} is {error}") from None


def without_password(url: str) -> tuple[str, str]:
    """A URL without its secrets, and its decoded password, which may be empty.

    >>> without_password("postgresql://me:p%40ss@db/board?sslpassword=x&sslmode=require")
    ('postgresql://me@db/board?sslmode=require', 'p@ss')
    """
    parts = _split(url)
    public = "&".join(
        pair for pair in _pairs(parts["query"]) if _parse_pair(pair)[0] not in SECRET_PARAMETERS
    )
    query = f"?{public}" if public else ""
    bare = "".join(parts[name] for name in ("scheme", "user", "at", "hosts", "dbname")) + query
    return bare, parse_url(url).get("password", "")


def _split(url: str) -> dict[str, str]:
    """The parts of a URL, not decoded; empty if missing."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(
            "a URL that begins with postgres:// or postgresql://, such as postgresql://user@host:5432/name "
            "(an IPv6 address in brackets)"
        )
    return match.groupdict(default="")


def _split_hosts(hosts: str) -> tuple[str, str]:
    """The hosts and the ports, each joined by commas."""
    found = re.findall(r"(?:^|,)(?:\[([^\]]+)\]|([^:,]*))(?::([^,]*))?", hosts)
    return ",".join(address or name for address, name, _ in found), ",".join(port for _, _, port in found)


def _pairs(query: str) -> list[str]:
    pairs = query.split("&")
    return pairs if pairs[-1] else pairs[:-1]


def _parse_pair(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not equals or "=" in value:
        raise ValueError(
            "a URL whose parameters are name=value with & between them; in a value & is %26 and = is %3D"
        )
    name, value = _decode(name), _decode(value)
    if (name, value) == ("ssl", "true"):
        return "sslmode", "require"
    if name == "requiressl":
        return "sslmode", "require" if value.startswith("1") else "prefer"
    return name, value


def _decode(text: str) -> str:
    text = text.strip(" ")
    if " " in text or re.search("%(?![0-9A-Fa-f]{2})|%00", text):
        raise ValueError("a URL in which a space is %20, a percent sign is %25, and there is no %00")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError("a URL whose percent-encoded text is UTF-8") from None


def _unknown(name: str, previous: str, query: str) -> str:
    # The name may be part of a secret: after a secret parameter whose value has an unescaped `&`, or in a query with `@`,
    # which then starts within a password.
    may_be_secret = previous in SECRET_PARAMETERS or "@" in query
    shown = "one" if may_be_secret or not re.fullmatch("[a-z_.0-9]{1,63}", name) else repr(name)
    where = f" after {previous}" if previous in SECRET_PARAMETERS else ""
    return (
        f"a URL with parameters that libpq knows, and {shown}{where} is not known; "
        "a server setting is written options=-c%20NAME%3DVALUE"
    )
