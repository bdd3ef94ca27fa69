"""orchboard region"""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

MAX_CODE = 56
MAX_NAME = 128

region = App(
    name="region",
    help="""List, add, rename and remove regions.

    Results are accepted only from known regions. These commands work on the database of POSTGRES, or on the
    embedded one. A running server notices changes within REGIONS_CACHE_TIMEOUT.

    **Examples**

    ```
    orchboard region add MUC Munich
    orchboard region list
    ```
    """,
)


@region.command(name="list")
def list_regions(
    *, json: Annotated[bool, Parameter(help="Print JSON, as the API returns it.", negative="")] = False
) -> None:
    """List the regions by job type.

    **Examples**

    ```
    orchboard region list
    orchboard region list --json
    ```
    """
    import asyncio

    from orchboard.cli.database import database_url, open_regions
    from orchboard.cli.output import print_json, print_table
    from orchboard.cli.settings import read_environment

    settings = read_environment()

    async def fetch(url: str) -> None:
        async with open_regions(settings, url) as regions:
            found = await regions.current()
        if json:
            print_json({"regions": found})
        else:
            rows = [[one.type, one.id, one.name] for one in found]
            print_table(("job type", "region", "name"), rows, empty="no regions")

    with database_url(settings) as url:
        asyncio.run(fetch(url))


@region.command
def add(
    code: Annotated[str, Parameter(help="Code of the region, as in results; stored in upper case.")],
    name: Annotated[str, Parameter(help="Display name.")],
    /,
    *,
    job_type: Annotated[
        Literal["transcoding", "ai", "both"], Parameter(help="Job type of the region.")
    ] = "both",
) -> None:
    """Add a region. An existing region is not changed.

    **Examples**

    ```
    orchboard region add MUC Munich
    orchboard region add MUC Munich --job-type ai
    ```
    """
    import asyncio

    from orchboard.cli.database import database_url, open_regions
    from orchboard.cli.settings import read_environment
    from orchboard.stats import JobType

    code, name = _parse_code(code), _parse_name(name)
    settings = read_environment()

    async def insert(url: str) -> None:
        async with open_regions(settings, url) as regions:
            for one in JobType if job_type == "both" else (JobType(job_type),):
                is_new = await regions.add(code, name, one)
                print(f"{code} {'added' if is_new else 'already exists'} for {one}")

    with database_url(settings) as url:
        asyncio.run(insert(url))


@region.command
def rename(
    code: Annotated[str, Parameter(help="Code of the region. Case-insensitive.")],
    name: Annotated[str, Parameter(help="New display name.")],
    /,
) -> None:
    """Change the display name of a region, for all job types. Its code and results are not changed.

    **Examples**

    ```
    orchboard region rename MUC "Munich, Germany"
    ```
    """
    import asyncio

    from orchboard.cli.database import database_url, open_regions
    from orchboard.cli.settings import read_environment
    from orchboard.errors import BadInputError

    code, name = _parse("a region's code", code.upper(), MAX_CODE), _parse_name(name)
    settings = read_environment()

    async def update(url: str) -> None:
        async with open_regions(settings, url) as regions:
            if not await regions.rename(code, name):
                raise BadInputError(f"there is no region {code}: `orchboard region list` shows all regions")
        print(f"{code} is now {name}")

    with database_url(settings) as url:
        asyncio.run(update(url))


@region.command
def remove(
    code: Annotated[str, Parameter(help="Code of the region. Case-insensitive.")],
    /,
    *,
    job_type: Annotated[
        Literal["transcoding", "ai", "both"], Parameter(help="Job type to remove the region from.")
    ] = "both",
) -> None:
    """Remove a region without results.

    `GLOBAL` can't be removed, because dashboards use it. Regions of `CATALYST_REGION_URL` are added again.

    **Examples**

    ```
    orchboard region remove MUC
    orchboard region remove MUC --job-type ai
    ```
    """
    import asyncio

    from orchboard.cli.database import database_url, open_regions
    from orchboard.cli.settings import read_environment
    from orchboard.errors import BadInputError
    from orchboard.stats import JobType

    code = _parse("a region's code", code.upper(), MAX_CODE)
    if code == "GLOBAL":
        raise BadInputError("GLOBAL can't be removed: dashboards use it")
    settings = read_environment()

    async def delete(url: str) -> None:
        async with open_regions(settings, url) as regions:
            await regions.remove(code, None if job_type == "both" else JobType(job_type))
        print(f"{code} removed" + ("" if job_type == "both" else f" for {job_type}"))

    with database_url(settings) as url:
        asyncio.run(delete(url))


def _parse_code(text: str) -> str:
    """A new region's code: upper case. Raises BadInputError."""
    import re

    from orchboard.errors import BadInputError

    code = _parse("a region's code", text.upper(), MAX_CODE)
    if not re.fullmatch(r"[A-Z0-9][A-Z0-9._-]*", code):
        raise BadInputError(
            f"a region's code must consist of letters, digits, `.`, `_` and `-`, such as LAX2, not {code!r}"
        )
    return code


def _parse_name(text: str) -> str:
    return _parse("a region's name", text, MAX_NAME)


def _parse(what: str, text: str, longest: int) -> str:
    from orchboard.errors import BadInputError

    text = text.strip()
    if not text or not text.isprintable():
        raise BadInputError(f"{what} must be printable text")
    if len(text) > longest:
        raise BadInputError(f"{what} must have at most {longest} characters, not {len(text)}")
    return text
