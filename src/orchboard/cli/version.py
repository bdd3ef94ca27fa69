"""What `orchboard --version` prints."""

from orchboard import __version__


def version() -> str:
    """`orchboard VERSION (commit COMMIT)`, then a line on Python and one on the embedded PostgreSQL."""
    import platform

    from orchboard.commit import commit
    from orchboard.errors import SetupError
    from orchboard.store.embedded.binaries import find_binaries

    built_from = commit()
    try:
        embedded = f"embedded PostgreSQL {find_binaries(None).version}"
    except SetupError:
        embedded = "no embedded PostgreSQL"
    first = f"orchboard {__version__}" + (f" (commit {built_from})" if built_from else "")
    return "\n".join([first, f"Python {platform.python_version()}", embedded])
