"""Services from libpq's connection service file (pg_service.conf)."""

from collections.abc import Mapping
from pathlib import Path

from orchboard.errors import SetupError
from orchboard.postgres_parameters import PARAMETERS
from orchboard.store.connection.home import home

# Debian's directory; PGSYSCONFDIR names that of other builds.
_SYSTEM_DIRECTORY = "/etc/postgresql-common"


def read_service(service: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a service, from the user's file or else from the system's.

    Raises SetupError, without any values, for a service that is in neither file and for an invalid line.
    """
    files = (
        Path(environ.get("PGSERVICEFILE") or home(environ) / ".pg_service.conf"),
        Path(environ.get("PGSYSCONFDIR") or _SYSTEM_DIRECTORY, "pg_service.conf"),
    )
    for file in files:
        try:
            text = file.read_text("utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise SetupError(f"the service file {file} can't be read: {error.strerror}") from None
        parameters = _parse(text, service, file)
        if parameters is not None:
            return parameters
    raise SetupError(f"there is no service {service!r} in {' or '.join(map(str, files))}")


def _parse(text: str, service: str, file: Path) -> dict[str, str] | None:
    """The parameters of a service; None when it is not in the file."""
    parameters: dict[str, str] | None = None
    for number, untrimmed in enumerate(text.split("\n"), start=1):
        line = untrimmed.strip()
        if line.startswith("["):
            if parameters is not None:
                break
            if line.startswith(f"[{service}]"):
                parameters = {}
        elif parameters is not None and line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            if not equals or name not in PARAMETERS or name == "service":
                known = "a parameter that libpq knows, no service within a service, no LDAP URL"
                raise SetupError(
                    f"the service file {file}, line {number}: it must be name=value with {known}"
                )
            parameters.setdefault(name, value)
    return parameters
