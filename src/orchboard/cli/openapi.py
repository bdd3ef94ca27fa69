"""orchboard openapi"""

from typing import Annotated

from cyclopts import Parameter


def openapi(
    *, markdown: Annotated[bool, Parameter(help="Print docs/api.md instead.", negative="")] = False
) -> None:
    """Print the OpenAPI document of the API.

    The format is OpenAPI 3.1 in JSON, for code generators and API tools. A running server has the document at
    /openapi.json, and the reference for people at /docs.

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
