"""Links of the documents lead to files and headings that exist; nothing is fetched."""

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.console_blocks import DOCUMENTS, ROOT

PAGES = [*(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")), *DOCUMENTS]
_CODE = re.compile(r"^[ ]*```.*?^[ ]*```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.MULTILINE)
_FENCED = re.compile(r"^[ ]*```.*?^[ ]*```$", re.MULTILINE | re.DOTALL)
# Packages are named in documents, never the server that some machine gets them from.
_REGISTRIES = re.compile(
    r"(^|\.)(pypi\.org|pythonhosted\.org|npmjs\.(com|org)|deb\.debian\.org|proxy\.golang\.org)$|registry|mirror"
)


def anchors_of(page: Path) -> set[str]:
    """The anchors of its headings, as GitHub and the site make them."""
    seen: dict[str, int] = {}
    anchors = set()
    for heading in _HEADING.findall(_FENCED.sub("", page.read_text("utf-8"))):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        anchors.add(f"{anchor}-{seen[anchor]}" if anchor in seen else anchor)
        seen[anchor] = seen.get(anchor, 0) + 1
    return anchors


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    wrong = []
    for link in _LINK.findall(_CODE.sub("", page.read_text("utf-8"))):
        path, _, anchor = link.partition("#")
        if ":" in path:
            continue
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            wrong.append(link)
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_external_link_names_a_public_host_and_no_registry(page: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", page.read_text("utf-8"))):
        url = urlsplit(link)
        if url.scheme:
            assert url.scheme in ("http", "https", "mailto"), link
            assert "." in (url.hostname or ""), link
            assert not _REGISTRIES.search(url.hostname or ""), link
            with pytest.raises(ValueError, match="does not appear to be"):
                ipaddress.ip_address(url.hostname or "")


def test_every_decision_is_in_the_list_of_decisions() -> None:
    listed = (ROOT / "docs/decisions/README.md").read_text("utf-8")
    for record in sorted((ROOT / "docs/decisions").glob("0*.md")):
        assert f"]({record.name})" in listed, record.name
