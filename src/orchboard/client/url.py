"""The URL of a server, and paths in the form in which they are sent."""

import re
from urllib.parse import quote, urlsplit, urlunsplit

from orchboard.errors import BadInputError


def parse_base_url(url: str) -> str:
    """The base of a server's URL. `http://` may be missing; a path of the API is cut off.

    >>> parse_base_url("localhost:8080/api/post_stats/")
    'http://localhost:8080'

    Raises BadInputError.
    """
    text = url.strip() if "://" in url else f"http://{url.strip()}"
    text = re.sub(r"/api(/.*)?$", "", text).rstrip("/")
    try:
        parts = urlsplit(text)
        is_base = (
            parts.scheme in ("http", "https") and parts.port != 0 and bool(encode_host(parts.hostname or ""))
        )
    except ValueError:
        is_base = False
    if not is_base or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f]", text):
        raise BadInputError(f"{url!r} is not the URL of a server, such as http://127.0.0.1:8080")
    return urlunsplit(parts._replace(path=encode_target(parts.path)))


def encode_host(host: str) -> str:
    """A host name or address as it is looked up and sent: in ASCII. Raises ValueError for one that cannot exist."""
    return host if ":" in host else host.encode("idna").decode()


def encode_target(target: str) -> str:
    """A path, or a path and query, with everything that a request line cannot contain percent-encoded.

    >>> encode_target("/a b/ä?x=%20")
    '/a%20b/%C3%A4?x=%20'
    """
    return quote(target, safe="/%?#[]@!$&'()*+,;=:~-._")
