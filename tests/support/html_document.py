"""Parses a page for assertions."""

from html.parser import HTMLParser

from tests.support.server import Answer


class Document(HTMLParser):
    """The tags of a page, and the text of its tables' cells."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[tuple[str, list[list[str]]]] = []
        self._in_cell = self._is_hidden = False
        self.feed(answer.data.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append((dict(attrs).get("class") or "", []))
        if tag == "tr":
            self._is_hidden = "hidden" in dict(attrs)
            if not self._is_hidden:
                self.tables[-1][1].append([])
        if tag in ("td", "th") and not self._is_hidden:
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
        """The cells of the ranking; without its head and the rows that are closed, with normalized spaces."""
        return self.table("ranking")

    def table(self, class_: str) -> list[list[str]]:
        """The same of the table of a class; empty without one."""
        rows = next((rows[1:] for each, rows in self.tables if each == class_), [])
        return [[" ".join(cell.split()) for cell in row] for row in rows]

    def links(self, start: str) -> list[str]:
        """The targets of the links that begin with a text."""
        return [href for a in self.all("a") if (href := a["href"] or "").startswith(start)]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def chosen(self) -> list[str | None]:
        return [option["value"] for option in self.all("option") if "selected" in option]
