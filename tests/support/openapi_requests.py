"""Requests that schemathesis generates from our OpenAPI document, valid and invalid, and the validation of responses."""

import json
from typing import Any

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from orchboard.api.routes import ROUTES
from orchboard.apidocs.openapi import openapi_json
from orchboard.signing import sign
from tests.support.server import SECRET

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

_SENT = ("method", "url", "headers", "params", "cookies", "data", "json")


def cases() -> "st.SearchStrategy[Case[Any]]":
    """Requests to all operations whose answers end, valid and invalid ones."""
    document: dict[str, Any] = json.loads(openapi_json())
    schema = schemathesis.openapi.from_dict(document)
    endless = {endpoint.path for endpoint in ROUTES if endpoint.never_ends}
    found = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    operations = [operation for operation in found if operation.path not in endless]
    return st.one_of(
        [operation.as_strategy(generation_mode=mode) for operation in operations for mode in GenerationMode]
    )


def ask(case: "Case[Any]", url: str, session: requests.Session, *, secret: str = SECRET) -> int:
    """Send a request (a POST is signed) and validate the response by the document. Returns the status."""
    told = case.as_transport_kwargs(base_url=url)
    request = session.prepare_request(
        requests.Request(**{name: told[name] for name in _SENT if name in told})
    )
    if case.method == "POST":
        body = request.body or b""
        assert isinstance(body, str | bytes)
        request.headers["Authorization"] = sign(body.encode() if isinstance(body, str) else body, secret)
    answer = session.send(request, timeout=30, allow_redirects=False)
    case.validate_response(answer, checks=CHECKS)
    return answer.status_code
