"""Example requests as shell commands."""

import shlex
from urllib.parse import quote, urlencode

import msgspec

from orchboard.answers.origin import ORIGIN
from orchboard.api.endpoint import Endpoint


def curl(endpoint: Endpoint) -> str:
    """The example request of an endpoint: its `asked` parameters, or its first body, signed with $SECRET."""
    url = ORIGIN + endpoint.example_path
    if not endpoint.bodies:
        example = {param.name: param.example for param in endpoint.params}
        asked = {name: example[name] for name in endpoint.asked}
        query = "?" + urlencode(asked, quote_via=quote, safe="/") if asked else ""
        token = ' -H "Authorization: Bearer $CRON_SECRET"' if endpoint.bearer else ""
        return f"curl -fsS{token} {shlex.quote(url + query)}"
    body = msgspec.json.format(msgspec.json.encode(next(iter(endpoint.bodies.values()))), indent=2).decode()
    return "\n".join(
        (
            "body=" + shlex.quote(body),
            # openssl says `(stdin)= …` or `SHA2-256(stdin)= …`, by version
            'signature=$(printf %s "$body" |',
            "  openssl dgst -sha256 -hmac \"$SECRET\" | sed 's/.* //')",
            f"curl -fsS {shlex.quote(url)} \\",
            '  -H "Authorization: $signature" \\',
            '  -H "Content-Type: application/json" \\',
            '  --data-binary "$body"',
        )
    )
