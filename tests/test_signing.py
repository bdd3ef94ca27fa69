"""Signatures."""

import hashlib
import hmac

import pytest

from orchboard.signing import is_signed, sign

BODY = b'{"region":"MDW"}'


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
