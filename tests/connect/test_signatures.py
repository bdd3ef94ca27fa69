"""The test vectors of docs/connect/testers.md, by our own signing and by the reference of Standard Webhooks."""

import re
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from orchboard.signing import sign, sign_webhook
from tests.connect.pages import read_page

PAGE = read_page("testers.md")
VECTORS = re.findall(r"^\| `(.*)` \| `(.*)` \| `([0-9a-f]{64})` \| `(v1,.*)` \|$", PAGE, re.MULTILINE)

each_vector = pytest.mark.parametrize(("body", "secret", "bare", "webhook"), VECTORS)


def test_the_vectors_have_text_beyond_ascii_and_a_secret_in_base64() -> None:
    bodies, secrets = {vector[0] for vector in VECTORS}, {vector[1] for vector in VECTORS}
    assert len(VECTORS) == 4
    assert not "".join(bodies).isascii() and not "".join(secrets).isascii()
    assert any(secret.startswith("whsec_") for secret in secrets)
    assert "`webhook-id` is `msg_1`, `webhook-timestamp` is `1727000000`" in PAGE


@each_vector
def test_a_vector_is_what_the_server_verifies(body: str, secret: str, bare: str, webhook: str) -> None:
    assert sign(body.encode(), secret) == bare
    assert sign_webhook(body.encode(), secret, webhook_id="msg_1", timestamp=1727000000) == webhook


@each_vector
def test_a_vector_is_what_the_reference_of_standard_webhooks_signs(
    body: str, secret: str, bare: str, webhook: str
) -> None:
    key = secret if secret.startswith("whsec_") else secret.encode()
    moment = datetime.fromtimestamp(1727000000, tz=UTC)
    assert Webhook(key).sign(msg_id="msg_1", timestamp=moment, data=body) == webhook
