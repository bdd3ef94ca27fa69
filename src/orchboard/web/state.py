"""The state of a page, which is in its URL: only what differs from the default."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

from msgspec import Struct
from starlette.datastructures import QueryParams

from orchboard import limits
from orchboard.analytics.scope import DEFAULT_WINDOW
from orchboard.api.params import Params
from orchboard.errors import BadInputError

DEFAULTS: Mapping[str, str] = {
    "job_type": "transcoding",
    "region": "GLOBAL",
    "window": DEFAULT_WINDOW,
    "min_results": "0",
    "sort": "rank",
}
"""Values that mean the same as no value."""

SCOPE = ("job_type", "region", "pipeline", "model", "window", "since", "until")
"""The filters that all pages share, in the order of their URLs."""

_LONGEST = {"region": limits.MAX_ORCHESTRATOR_CHARACTERS, "search": limits.MAX_SEARCH_CHARACTERS}

_CHECKED_BY_PAGES = ("cursor", "orchestrators")


class PageState(Struct, frozen=True):
    """One state of a page. Hashable: part of the key of a cached answer.

    path -- of the page
    names -- of the parameters that the page has, in the order of its URLs
    values -- those that differ from the default, by name in that order
    """

    path: str
    names: tuple[str, ...]
    values: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, path: str, params: QueryParams, names: tuple[str, ...]) -> "PageState":
        """The state in a query string. Empty, unknown and repeated parameters are left out, and those that contradict others:
        a pipeline or model with transcoding, since and until beside a window.

        Raises BadInputError, which names the parameter.
        """
        found = {name: _text(params, name) for name in names}
        if found.get("job_type") == DEFAULTS["job_type"]:
            found |= {"pipeline": "", "model": ""}
        elif found.get("pipeline") or found.get("model"):
            found["job_type"] = "ai"
        if found.get("window"):
            found |= {"since": "", "until": ""}
        return cls(path, names)._with(found)

    def get(self, name: str) -> str:
        """The value of a parameter; its default, or empty, if it is not in the URL."""
        return dict(self.values).get(name, DEFAULTS.get(name, ""))

    @property
    def is_filtered(self) -> bool:
        """Whether there is a filter besides job type and window."""
        return any(
            name in dict(self.values) for name in ("region", "pipeline", "model", "search", "min_results")
        )

    @property
    def query(self) -> str:
        """The query string."""
        return urlencode(self.values, safe=",")

    @property
    def params(self) -> Params:
        """The same parameters, as the API reads them."""
        return Params(self.query.encode())

    def link(self, **changes: str | None) -> str:
        """The URL of this state with changes; None: the default. A page of several begins again."""
        state = self.changed(**{"cursor": None, **changes})
        return f"{state.path}?{state.query}" if state.values else state.path

    def changed(self, **changes: str | None) -> "PageState":
        """This state with changes; None: the default."""
        return self._with({name: value or "" for name, value in changes.items()})

    def at(self, path: str, names: Iterable[str] = SCOPE, **changes: str | None) -> str:
        """The URL of another page, with those of the filters that it has too."""
        kept = {name: self.get(name) for name in names}
        return PageState(path, tuple(names))._with(kept).link(**changes)

    def _with(self, changes: Mapping[str, str]) -> "PageState":
        found = {**dict(self.values), **changes}
        values = tuple(
            (name, found[name])
            for name in self.names
            if found.get(name) and found[name] != DEFAULTS.get(name)
        )
        return PageState(self.path, self.names, values)


def _text(params: QueryParams, name: str) -> str:
    value = next(iter(params.getlist(name)), "")
    if "\x00" in value:
        raise BadInputError(f"{name} contains the character U+0000")
    longest = _LONGEST.get(name, limits.MAX_NAME_CHARACTERS)
    if len(value) > longest and name not in _CHECKED_BY_PAGES:
        raise BadInputError(f"{name} is longer than {longest} characters")
    value = value.strip() if name == "search" else value
    return value.upper() if name == "region" else value
