"""orchboard openapi"""

from typing import Annotated

from cyclopts import Parameter


def openapi(
    *, markdown: Annotated[bool, Parameter(help="For people, as in docs/api.md.", negative="")] = False
) -> None:
    """Print the API's OpenAPI document.

    OpenAPI 3.1 in JSON, for generators and API tools; a running server has it at /openapi.json, with
    pages to read it at /docs.

    **Examples**

    ```
    orchboard openapi > openapi.json
    orchboard openapi --markdown > api.md
    ```
    """
    from orchboard.apidocs.openapi import openapi_json
    from orchboard.apidocs.page import api_markdown
    from orchboard.cli.output import write_bytes

    write_bytes(api_markdown().encode() if markdown else openapi_json())
