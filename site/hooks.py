"""Hooks that add to the site: documents of the repository's root, contrib/, Markdown copies, llms.txt."""

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure import StructureItem
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation, Section
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
# Documents outside docs/, and their names on the site.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "bench/README.md": "bench.md",
    "README.md": "index.md",
}
_SOURCES = {name: source for source, name in PAGES.items() if source != "README.md"}
_LINK = re.compile(r"(!?)\[((?:[^][]|\[[^]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the documents of the root, and the files of contrib/ that documents link to."""
    for name, source in _SOURCES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    for path in sorted((ROOT / "contrib").glob("**/*")):
        if path.is_file() and path.suffix != ".md":
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: Any) -> str:
    """Convert links of the repository to links of the site. A link to a file outside the site becomes its text."""
    here = _SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def relink(link: re.Match[str]) -> str:
        image, text, target, anchor = link[1], link[2], link[3], link[4] or ""
        if not target or ":" in target:
            return link[0]
        path = normpath(PurePosixPath(here).parent / target)
        name = PAGES.get(path, path.removeprefix("docs/"))
        if name in ("decisions", "connect"):
            name += "/README.md"
        if path.startswith("..") or files.get_file_from_path(name) is None:
            # A broken link within docs/ stays, so that the strict build reports it.
            return link[0] if path.startswith("docs/") else text
        start = str(PurePosixPath(page.file.src_uri).parent)
        return f"{image}[{text}]({relpath(name, start)}{anchor})"

    parts = _FENCED.split(markdown)
    page.meta["markdown"] = "".join(
        part if part.startswith("```") else _LINK.sub(relink, part) for part in parts
    )
    if here.startswith(("docs/decisions/", "CHANGELOG", "CONTRIBUTING")):
        page.meta["search"] = {"boost": 0.3}  # pages for users rank first
    page.meta.setdefault("description", _first_sentence(page.meta["markdown"]))
    return str(page.meta["markdown"])


def on_post_page(output: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Write the page's Markdown beside its HTML."""
    copy = Path(config.site_dir, page.file.src_uri)
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(page.meta["markdown"], "utf-8")
    return output


def on_nav(nav: Navigation, **_: Any) -> Navigation:
    """Store the navigation for llms.txt."""
    _nav[:] = nav.items
    return nav


def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """Write llms.txt (llmstxt.org): the navigation with links to the Markdown copies."""
    lines = [f"# {config.site_name}", "", f"> {config.site_description}"]
    for item in _nav:
        lines.extend(["", f"## {item.title}", ""])
        lines.extend(
            f"- [{page.title}]({page.file.src_uri}): {page.meta['description']}".rstrip(": ")
            for page in _pages_of(item)
        )
    Path(config.site_dir, "llms.txt").write_text("\n".join(lines) + "\n", "utf-8")


_nav: list[StructureItem] = []


def _pages_of(item: StructureItem) -> list[Page]:
    if isinstance(item, Section):
        return [page for child in item.children for page in _pages_of(child)]
    return [item] if isinstance(item, Page) else []


def _first_sentence(markdown: str) -> str:
    for paragraph in re.split(
        r"\n\s*\n", re.sub(r"<!--.*?-->", "", _FENCED.sub("", markdown), flags=re.DOTALL)
    ):
        text = " ".join(paragraph.split())
        if text and re.match(r"[\w`*(“\"\[]", text) and "---" not in text:
            text = _LINK.sub(lambda link: link[2], text)
            text = re.sub(r"[*`]", "", text)
            return re.split(r"(?<=[.:]) (?=[A-Z`])", text)[0]
    return ""
