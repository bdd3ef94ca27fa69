"""TLS: the certificate of the server is verified."""

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchboard.client import UnreachableError
from tests.artefacts.tools import tool
from tests.client.conftest import Connect
from tests.support.scripted_server import reply, scripted_server


@pytest.fixture
def tls_url(tmp_path: Path) -> Iterator[str]:
    """A server with a certificate that no system trusts: `certificate.pem` in `tmp_path`."""
    openssl = tool("openssl", remedy="apt-get install openssl")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    words = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [openssl, *words, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with scripted_server(reply(200, b'{"regions":[]}')) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        yield server.url.replace("http:", "https:")


def test_a_certificate_that_the_system_does_not_trust_is_refused(connect: Connect, tls_url: str) -> None:
    with pytest.raises(UnreachableError, match="TLS failed: self-signed certificate") as caught:
        connect(tls_url, max_retries=0).regions()
    assert (caught.value.is_tls_failure, caught.value.was_sent) == (True, False)


def test_a_certificate_of_ssl_cert_file_is_trusted(
    connect: Connect, tls_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    assert connect(tls_url).regions() == ()
