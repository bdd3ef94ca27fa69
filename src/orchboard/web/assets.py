"""The static files, each at a URL with a hash of its content, so that it can be cached for a year."""

from hashlib import sha256
from importlib.resources import files

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
}


class Asset(Struct, frozen=True):
    """One static file."""

    path: str
    media_type: str
    body: bytes


def _load(name: str, media_type: str) -> Asset:
    body = files("orchboard.web").joinpath("static", name).read_bytes()
    stem, _, ending = name.rpartition(".")
    return Asset(f"/static/{stem}.{sha256(body).hexdigest()[:16]}.{ending}", media_type, body)


ASSETS = {
    name: _load(name, media_type)
    for name, media_type in {
        "orchboard.css": "text/css",
        "orchboard.js": "text/javascript",
        "favicon.svg": "image/svg+xml",
        "land.svg": "image/svg+xml",
    }.items()
}


def asset_url(name: str) -> str:
    """The URL of a static file, for templates."""
    return ASSETS[name].path


def asset_route(asset: Asset) -> Route:
    """The route of a static file."""

    async def answer(_: Request) -> Response:
        return Response(asset.body, media_type=asset.media_type, headers=_HEADERS)

    return Route(asset.path, answer, methods=["GET"])
