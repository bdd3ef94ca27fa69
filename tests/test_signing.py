"""Signatures."""

import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from orchboard.signing import is_signed, is_webhook_signed, sign, sign_webhook, strength, webhook_key

BODY = b'{"region":"MDW"}'
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SAID = {"webhook_id": "msg_1", "timestamp": "1727000000"}
MOMENT = datetime.fromtimestamp(1727000000, tz=UTC)


def test_a_signature_is_the_hmac_of_the_raw_bytes() -> None:
    assert sign(BODY, "clé") == hmac.new("clé".encode(), BODY, hashlib.sha256).hexdigest()


def test_the_right_signature_is_accepted() -> None:
    assert is_signed(BODY, sign(BODY, "s"), "s")


@pytest.mark.parametrize(
    "signature",
    ["", "deadbeef", sign(BODY, "other"), sign(BODY + b" ", "s"), sign(BODY, "s").upper(), "é" * 64, "日"],
)
def test_any_other_is_not(signature: str) -> None:
    assert not is_signed(BODY, signature, "s")


def test_an_empty_secret_signs_nothing() -> None:
    assert not is_signed(BODY, sign(BODY, ""), "")
    assert not is_webhook_signed(BODY, f"v1,{sign(BODY, '')}", "", **SAID)


@pytest.mark.parametrize(("secret", "theirs"), [(KEY, KEY), ("clé secrète", "clé secrète".encode())])
def test_webhook_signatures_are_those_of_the_reference(secret: str, theirs: str | bytes) -> None:
    signed = Webhook(theirs).sign(msg_id="msg_1", timestamp=MOMENT, data=BODY.decode())
    assert sign_webhook(BODY, secret, **SAID) == signed
    assert is_webhook_signed(BODY, signed, secret, **SAID)


def test_one_right_signature_among_others_is_enough() -> None:
    right = sign_webhook(BODY, KEY, **SAID)
    assert is_webhook_signed(BODY, f"v1a,xyz {sign_webhook(BODY, 'old', **SAID)} {right}", KEY, **SAID)


@pytest.mark.parametrize(
    "signatures",
    [
        "",
        "v1,",
        "é 日",
        sign_webhook(BODY, "other", **SAID),
        sign_webhook(BODY + b" ", KEY, **SAID),
        sign_webhook(BODY, KEY, **SAID)[3:],
        "v1a" + sign_webhook(BODY, KEY, **SAID)[2:],
    ],
)
def test_a_signature_of_something_else_is_none(signatures: str) -> None:
    assert not is_webhook_signed(BODY, signatures, KEY, **SAID)


@pytest.mark.parametrize("changed", [{"webhook_id": "msg_2"}, {"timestamp": "1727000001"}])
def test_the_id_and_the_moment_are_signed_too(changed: dict[str, str]) -> None:
    assert not is_webhook_signed(BODY, sign_webhook(BODY, KEY, **SAID), KEY, **SAID | changed)


def test_padding_may_be_left_out_of_a_secret() -> None:
    assert webhook_key("whsec_dGVzdA") == webhook_key("whsec_dGVzdA==") == b"test"
    assert (strength("whsec_dGVzdA"), strength("clé")) == (4, 4)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_==", "whsec_a", "whsec_a b c", "whsec_éé"])
def test_a_secret_that_only_begins_like_one_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="base64 behind whsec_"):
        webhook_key(secret)
