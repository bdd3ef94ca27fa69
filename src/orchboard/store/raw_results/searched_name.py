"""The name that results of an orchestrator are searched by."""

from orchboard import limits

# In upper case, while names are searched in lower case: no result is found.
_NOBODY = "TOO LONG"


def searched_name(orchestrator: str) -> str:
    """The name itself, or one that nobody has for a name that is too long for the column: Citus refuses to compare it.

    >>> searched_name("0xab"), searched_name("x" * 57)
    ('0xab', 'TOO LONG')
    """
    return orchestrator if len(orchestrator) <= limits.MAX_ORCHESTRATOR_CHARACTERS else _NOBODY
