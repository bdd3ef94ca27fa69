"""What `orchboard serve` prints when it serves: its address, and commands to paste into another shell."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from shlex import quote

from orchboard.cli.settings import data_directory, secret_file
from orchboard.config import Settings
from orchboard.postgres_url import without_password


def print_banner(settings: Settings, address: str, *, embedded: bool, is_generated: bool) -> None:
    """Print the banner on standard output.

    embedded -- whether the database is the embedded one; is_generated -- whether --generate-secret made the secret
    """
    location = data_directory(settings) if embedded else without_password(settings.postgres)[0]
    lines = [f"orchboard is at   {address}", f"its data is in    {location}"]
    if settings.secret:
        lines += _lines_of_secret(settings, address, is_generated=is_generated)
    else:
        lines.append(
            "SECRET is not set, so only testers with their own keys may post: set it, or use --generate-secret"
        )
    with suppress(OSError):  # a full disk behind standard output must not stop the server
        print("\n".join(lines), flush=True)


def _lines_of_secret(settings: Settings, address: str, *, is_generated: bool) -> list[str]:
    command = settings.orchboard_command
    lines = [f"its secret is in  {secret_file(settings)}"] if is_generated else []
    if command and is_generated:
        lines.append(f"to show it        {command} secret --show")
    command = command or _variables(settings, is_generated=is_generated) + _program()
    return [*lines, f"a first result    {command} post --example --url {address}"]


def _variables(settings: Settings, *, is_generated: bool) -> str:
    """The variables to set before a command so that another shell signs with this server's secret."""
    if is_generated:
        is_default = not settings.orchboard_data and "XDG_DATA_HOME" not in os.environ
        return "" if is_default else f"ORCHBOARD_DATA={quote(str(data_directory(settings)))} "
    if settings.secret_file:
        return f"SECRET_FILE={quote(str(Path(settings.secret_file).absolute()))} "
    # The secret itself is never printed. A user who may read the environment of this process gets it from there.
    if sys.platform == "linux":
        return f'SECRET="$({_program()} secret --show --pid {os.getpid()})" '
    return "SECRET=… "


def _program() -> str:
    """How this program was called, in a form that can be pasted into a shell."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        program = Path(sys.executable).with_name("orchboard")
        if not program.exists():
            return f"{quote(sys.executable)} -m orchboard"
    return quote(str(program.absolute()))
