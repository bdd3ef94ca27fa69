"""The URL of a server."""

import re
from urllib.parse import urlsplit

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
        is_base = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_base = False
    if not is_base or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f]", text):
        raise BadInputError(f"{url!r} is not the URL of a server, such as http://127.0.0.1:8080")
    return text
