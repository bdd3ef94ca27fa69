"""What `orchboard doctor` reports about SECRET and SECRET_PREVIOUS."""

import errno
import os
from collections.abc import Iterator

from orchboard import limits
from orchboard.cli.settings import generated_secret, secret_file
from orchboard.config import Settings, weak_secrets
from orchboard.signing import strength
from orchboard.store.diagnostics.findings import Finding, Level


def examine_secret(settings: Settings) -> Finding:
    """The finding about the secret that results are verified with. Raises OSError when its file is unreadable."""
    if not settings.secret:
        return (
            _examine_generated_secret(settings)
            if generated_secret(settings)
            else _examine_missing_secret(settings)
        )
    length = strength(settings.secret)
    if length < limits.MIN_SECRET_BYTES:
        return _warning(
            f"SECRET is short ({length} bytes): it can be guessed from one signed result",
            f"Use {limits.MIN_SECRET_BYTES} bytes or more, on the server and at the job testers.",
        )
    return Finding(Level.OK, "secret", f"SECRET is set ({length} bytes)")


def _examine_generated_secret(settings: Settings) -> Finding:
    path = secret_file(settings)
    if path.stat().st_mode & 0o077:
        return _warning(f"{path} can be read by others", f"chmod 600 '{path}'")
    if settings.postgres:
        return _warning(
            "SECRET is not set, so `serve` accepts results only from testers with their own keys",
            "Set SECRET to the secret of the job testers; with `--generate-secret`, `serve` uses the stored secret.",
        )
    says = f"SECRET is not set; `serve --generate-secret` and `post` use the secret in {path}"
    return Finding(Level.OK, "secret", says)


def _examine_missing_secret(settings: Settings) -> Finding:
    if secret_file(settings).exists():
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(secret_file(settings)))
    return _warning(
        "SECRET is not set, so only testers with their own keys may post",
        "Set SECRET to the secret of the job testers, or use `orchboard serve --generate-secret`.",
    )


def examine_previous_secret(settings: Settings) -> Iterator[Finding]:
    """The finding about SECRET_PREVIOUS; none when it is not set."""
    if not settings.secret_previous:
        return
    if not settings.secret:
        yield _warning("SECRET_PREVIOUS is set without SECRET and is ignored", "Set SECRET too.")
    elif "SECRET_PREVIOUS" in weak_secrets(settings):
        yield _warning(
            "SECRET_PREVIOUS is short: it can be guessed from one signed result",
            f"Give the testers a SECRET of {limits.MIN_SECRET_BYTES} bytes or more, then unset SECRET_PREVIOUS.",
        )
    else:
        yield _warning("SECRET_PREVIOUS is accepted too", "Unset it when all testers use the new secret.")


def _warning(message: str, remedy: str) -> Finding:
    return Finding(Level.WARNING, "secret", message, remedy)
