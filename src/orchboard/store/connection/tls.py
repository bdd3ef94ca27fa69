"""TLS to a database, according to libpq's ssl… parameters."""

import ssl
import warnings
from pathlib import Path

import asyncpg
from msgspec import Struct

SYSTEM = "system"

_VERSIONS = {
    "tlsv1": ssl.TLSVersion.TLSv1,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}


class TLS(Struct, frozen=True, kw_only=True):
    """The parameters, named without `ssl`; empty: not given.

    direct -- sslnegotiation=direct: the connection starts with TLS
    sends_certificate -- False: send no client certificate, even if there is one
    directory -- contains the default files: root.crt, root.crl, postgresql.crt, postgresql.key

    Files are read for each connection, so that they may be replaced while the server runs.
    """

    mode: str
    direct: bool
    rootcert: str
    crl: str
    crldir: str
    sends_certificate: bool
    cert: str
    key: str
    password: str
    minimum: str
    maximum: str
    directory: Path

    @property
    def attempts(self) -> tuple[bool, ...]:
        """Whether to use TLS in the first attempt, and in the second one after a failure."""
        if self.mode == "disable":
            return (False,)
        if self.mode == "allow":
            return (False, True)
        return (True, False) if self.mode == "prefer" else (True,)

    @property
    def verifies(self) -> bool:
        """Whether the server's certificate is verified; with `require` only if there is a root certificate."""
        return self.mode.startswith("verify") or (self.mode == "require" and self._root() != "")

    def context(self, server_name: str) -> ssl.SSLContext:
        """A context for one connection to a host.

        Raises asyncpg.ClientConfigurationError, naming the parameter, when a file can't be used.
        """
        context = _Context(ssl.PROTOCOL_TLS_CLIENT)
        context.server_name = server_name
        context.check_hostname = self.mode == "verify-full"
        if self.verifies:
            self._load_roots(context)
            self._load_revoked(context)
        else:
            context.verify_mode = ssl.CERT_NONE
        if self.sends_certificate:
            self._load_certificate(context)
        with warnings.catch_warnings():  # for versions before 1.2
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = _VERSIONS[self.minimum or "tlsv1.2"]
            if self.maximum:
                context.maximum_version = _VERSIONS[self.maximum]
        context.set_alpn_protocols(["postgresql"])
        return context

    def _root(self) -> str:
        return self.rootcert or self._default("root.crt")

    def _default(self, name: str) -> str:
        """A default file; empty when it does not exist."""
        file = self.directory / name
        return str(file) if file.exists() else ""

    def _load_roots(self, context: ssl.SSLContext) -> None:
        root = self._root()
        if not root:
            raise asyncpg.ClientConfigurationError(
                f"sslmode={self.mode} needs an sslrootcert: a file, or system"
            )
        if root == SYSTEM:
            context.load_default_certs()
        else:
            _load_file(context, "sslrootcert", root)

    def _load_revoked(self, context: ssl.SSLContext) -> None:
        file = self.crl or (not self.crldir and self._default("root.crl"))
        if file:
            _load_file(context, "sslcrl", file)
        if self.crldir:
            if not Path(self.crldir).is_dir():
                raise _unusable("sslcrldir", self.crldir, "the directory does not exist")
            context.load_verify_locations(capath=self.crldir)
        if file or self.crldir:
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        certificate = self.cert or self._default("postgresql.crt")
        key = self.key or self._default("postgresql.key") or None
        if not certificate:
            return
        names, files = "sslcert and sslkey", f"{certificate}, {key or 'its key in the same file'}"
        try:
            context.load_cert_chain(certificate, keyfile=key, password=lambda: self.password)
        except ssl.SSLError as error:
            reason = "they do not match, are not PEM, or sslpassword does not decrypt the key"
            raise _unusable(names, files, reason) from error
        except OSError as error:
            raise _unusable(names, files, error.strerror) from error


class _Context(ssl.SSLContext):
    """Verifies the host name in the URL, also when connecting to its hostaddr."""

    server_name: str

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, self.server_name or server_hostname, session)


def _load_file(context: ssl.SSLContext, name: str, file: str) -> None:
    try:
        context.load_verify_locations(cafile=file)
    except ssl.SSLError as error:
        raise _unusable(name, file, "it contains no PEM data") from error
    except OSError as error:
        raise _unusable(name, file, error.strerror) from error


def _unusable(names: str, files: str, reason: str | None) -> asyncpg.ClientConfigurationError:
    return asyncpg.ClientConfigurationError(f"{names} can't be used: {files}: {reason}")
