"""Parses a page for assertions."""

from collections.abc import Callable
from html.parser import HTMLParser

from tests.support.server import Answer


class Document(HTMLParser):
    """The tags of a page, and the text of its tables' cells."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[tuple[str, list[list[str]]]] = []
        self._in_cell = False
        self.feed(answer.data.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append((dict(attrs).get("class") or "", []))
        if tag == "tr":
            self.tables[-1][1].append([])
        if tag in ("td", "th"):
            self._in_cell = True
            self.tables[-1][1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.tables[-1][1][-1][-1] += data

    @property
    def cells(self) -> list[list[str]]:
        """The cells of the table of scores, without its head, with normalized spaces."""
        return self._cells(lambda class_: class_ != "results")

    @property
    def latest(self) -> list[list[str]]:
        """The cells of the table of latest results."""
        return self._cells(lambda class_: class_ == "results")

    def _cells(self, is_meant: Callable[[str], bool]) -> list[list[str]]:
        rows = next((rows[1:] for class_, rows in self.tables if is_meant(class_)), [])
        return [[" ".join(cell.split()) for cell in row] for row in rows]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def chosen(self) -> list[str | None]:
        return [option["value"] for option in self.all("option") if "selected" in option]
