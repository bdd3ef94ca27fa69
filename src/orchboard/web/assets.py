"""The static files, each at a URL with a hash of its content, so that it can be cached for a year."""

from functools import cache
from hashlib import sha256
from importlib.resources import files

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchboard import limits
from orchboard.answers.answer import IDENTITY, choose_encoding, encode

_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Encoding",
}


class Asset(Struct, frozen=True):
    """One static file."""

    path: str
    media_type: str
    body: bytes


class Vendored(Struct, frozen=True):
    """A file of another project, in static/vendor. licence -- its licence, beside it; sha256 -- of its bytes"""

    name: str
    version: str
    licence: str
    sha256: str


UPLOT = Vendored(
    "uPlot.iife.min.js",
    "1.6.32",
    "uPlot.LICENSE",
    "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
)
"""Draws the charts (docs/decisions/0022-charts.md). CONTRIBUTING.md says how to replace it by a newer version."""


def _load(path: str, media_type: str) -> Asset:
    body = files("orchboard.web").joinpath("static", path).read_bytes()
    stem, _, ending = path.rpartition("/")[2].rpartition(".")
    return Asset(f"/static/{stem}.{sha256(body).hexdigest()[:16]}.{ending}", media_type, body)


ASSETS = {
    path.rpartition("/")[2]: _load(path, media_type)
    for path, media_type in {
        "orchboard.css": "text/css",
        "orchboard.js": "text/javascript",
        "charts.js": "text/javascript",
        f"vendor/{UPLOT.name}": "text/javascript",
        "favicon.svg": "image/svg+xml",
        "land.svg": "image/svg+xml",
    }.items()
}


def asset_url(name: str) -> str:
    """The URL of a static file, for templates."""
    return ASSETS[name].path


def asset_route(asset: Asset) -> Route:
    """The route of a static file."""

    async def answer(request: Request) -> Response:
        encoding = choose_encoding(
            request.headers.get("accept-encoding", ""), is_small=len(asset.body) < limits.MIN_ENCODED_BYTES
        )
        headers = _HEADERS if encoding == IDENTITY else {**_HEADERS, "Content-Encoding": encoding}
        return Response(_encoded(asset, encoding), media_type=asset.media_type, headers=headers)

    return Route(asset.path, answer, methods=["GET"])


@cache
def _encoded(asset: Asset, encoding: str) -> bytes:
    return asset.body if encoding == IDENTITY else encode(asset.body, encoding)
