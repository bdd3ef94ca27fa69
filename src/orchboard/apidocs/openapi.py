"""The OpenAPI 3.1 document, made from ROUTES and the types."""

import functools
import inspect
from typing import Any

import msgspec

import orchboard
from orchboard.api.endpoint import Endpoint, Param
from orchboard.api.refusals import RETRY_AFTER, STATUS, Error
from orchboard.api.responses import CACHE_CONTROL
from orchboard.api.routes import ROUTES
from orchboard.apidocs.curl import curl
from orchboard.apidocs.schemas import schemas_of
from orchboard.errors import Refusal

SIGNATURE = "Signature"
_SCHEDULER = "Scheduler"

SUMMARY = "The leaderboard server of the Livepeer network on PostgreSQL."

CONVENTIONS = f"""
Job testers run a job on an orchestrator from a region and POST one signed result. Reading needs no authentication:
anyone may GET results and scores, from any origin.

Paths may end in a slash and may contain doubled slashes; the server does not redirect. An empty parameter counts as
absent. If a parameter is repeated, the first one counts. Every GET endpoint also answers HEAD, and every path answers
OPTIONS.

A result has two times. `timestamp` is on the tester's clock and never used to filter. `since` and `until` filter by
receipt time, which is on the server's clock. A window whose `since` is after its `until` is empty; that is not an error.

Successful answers to GET carry `{CACHE_CONTROL}`, except those of the health checks and metrics. An error has the body
`{{"error": "…"}}` and `Cache-Control: no-store`. The statuses 429 and 503 carry `Retry-After` in seconds. Every answer has
an `X-Request-Id`; the server's log contains it too.
"""
"""Conventions of all endpoints, in paragraphs with `code` in backticks."""


@functools.cache
def openapi_json() -> bytes:
    """The document as indented JSON with a final newline, as it is served and committed."""
    return msgspec.json.format(msgspec.json.encode(openapi_document()), indent=2) + b"\n"


def openapi_document() -> dict[str, Any]:
    """The document."""
    types = [type_ for endpoint in ROUTES for type_ in _types_of(endpoint)]
    schemas, components = schemas_of([Error, *types])
    schema_of = dict(zip(map(repr, [Error, *types]), schemas, strict=True))
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "orchboard",
            "version": orchboard.__version__,
            "summary": SUMMARY,
            "description": "\n\n".join(" ".join(part.split()) for part in CONVENTIONS.split("\n\n")),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "This server"}],
        "paths": {endpoint.path: _path(endpoint, schema_of) for endpoint in ROUTES},
        "components": {
            "schemas": components,
            "headers": _HEADERS,
            "responses": {
                "Error": _response(
                    "Any other error: 404, 405, 500.", schema_of[repr(Error)], Error("internal error")
                )
            },
            "securitySchemes": {
                SIGNATURE: {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": next(p.help for e in ROUTES for p in e.params if p.name == "Authorization")
                    + " Send the digits alone, without a scheme such as `Bearer`.",
                },
                _SCHEDULER: {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`Bearer <CRON_SECRET>`, with the value of that setting.",
                },
            },
        },
    }


_HEADERS: dict[str, Any] = {
    "Cache-Control": {
        "description": "How long the answer may be cached.",
        "schema": {"type": "string"},
        "example": CACHE_CONTROL,
    },
    "Retry-After": {
        "description": "Seconds to wait before the next attempt.",
        "schema": {"type": "integer"},
        "example": int(RETRY_AFTER["Retry-After"]),
    },
}


def _types_of(endpoint: Endpoint) -> list[Any]:
    bodies = [endpoint.body] if endpoint.body else []
    return [
        *bodies,
        endpoint.answer_type,
        *endpoint.other_types,
        *(type(example) for example in endpoint.refusals.values()),
    ]


def _path(endpoint: Endpoint, schema_of: dict[str, Any]) -> dict[str, Any]:
    """The operations of one path; every GET has a HEAD."""
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": endpoint.help,
    }
    operation["x-codeSamples"] = [{"lang": "Shell", "label": "curl", "source": curl(endpoint)}]
    if any(param.name == "Authorization" for param in endpoint.params):
        operation["security"] = [{SIGNATURE: []}]
    if endpoint.bearer:
        operation["security"] = [{_SCHEDULER: []}]
    if endpoint.body:
        operation["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {
                    "schema": schema_of[repr(endpoint.body)],
                    "examples": {name: {"value": body} for name, body in endpoint.bodies.items()},
                }
            },
        }
    operation["responses"] = {"200": _answer(endpoint, schema_of)} | {
        str(STATUS[refusal]): _refusal(refusal, example, schema_of[repr(type(example))])
        for refusal, example in endpoint.refusals.items()
    }
    operation["responses"]["default"] = {"$ref": "#/components/responses/Error"}
    path = {"parameters": parameters} if (parameters := [*map(_parameter, _told(endpoint))]) else {}
    if endpoint.method != "GET":
        return path | {endpoint.method.lower(): operation}
    statuses = {status: {"description": "As GET, without a body."} for status in operation["responses"]}
    head = {
        "operationId": f"head_{endpoint.name}",
        "summary": "Headers of the GET answer",
        "responses": statuses,
    }
    return path | {"get": operation, "head": head}


def _told(endpoint: Endpoint) -> list[Param]:
    """The parameters without Authorization, which OpenAPI describes as a security scheme."""
    return [param for param in endpoint.params if param.name != "Authorization"]


def _parameter(param: Param) -> dict[str, Any]:
    told = {"name": param.name, "in": param.place, "description": param.help, "required": param.required}
    schema = {"type": "number"} if param.name in ("since", "until") else {"type": "string"}
    example: Any = int(param.example) if schema["type"] == "number" else param.example
    return told | {"schema": schema} | ({"example": example} if param.example else {})


def _answer(endpoint: Endpoint, schema_of: dict[str, Any]) -> dict[str, Any]:
    schema = schema_of[repr(endpoint.answer_type)]
    if endpoint.or_empty:
        schema = {"anyOf": [schema, {"type": "object", "maxProperties": 0, "description": "No results."}]}
    response = _response("Success.", schema, endpoint.answer, endpoint.media_type)
    if endpoint.cached:
        response["headers"] = {"Cache-Control": {"$ref": "#/components/headers/Cache-Control"}}
    return response


def _refusal(refusal: type[Refusal], example: Any, schema: dict[str, Any]) -> dict[str, Any]:
    response = _response(refusal_meaning(refusal), schema, example)
    if STATUS[refusal] == 503:
        response["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return response


def refusal_meaning(refusal: type[Refusal]) -> str:
    """The meaning of a refusal: the first paragraph of the docstring of its class."""
    return " ".join((inspect.getdoc(refusal) or "").partition("\n\n")[0].split())


def _response(
    description: str, schema: dict[str, Any], example: Any, media_type: str = "application/json"
) -> dict[str, Any]:
    plain = msgspec.json.decode(msgspec.json.encode(example))
    content = {media_type: {"schema": schema, "example": plain}}
    return {"description": description, "content": content}
