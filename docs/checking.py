"""What Sphinx does not look at in the pages that it has made: who cannot see them reads them too.

Each page has one main heading, and no level of headings is left out. Each picture says what it
shows. Each link to a place in a page finds it. Each name in a list of the reference is described.
"""

from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

LOGGER = getLogger(__name__)


class Page(HTMLParser):
    """What is asked of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.places: set[str] = set()
        self.links: set[str] = set()
        self.wordless: list[str] = []  # pictures
        self.cells: list[list[str]] = []  # rows of a reference's list
        self._in_list = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note a heading, a place, a link, a picture or a cell."""
        found = {name: value or "" for name, value in attributes}
        self.places.update(found[name] for name in ("id", "name") if name in found)
        if tag in {"h1", "h2", "h3", "h4", "h5", "h6"}:
            self.levels.append(int(tag[1]))
        elif tag == "a" and "href" in found:
            self.links.add(found["href"])
        elif tag == "img" and not found.get("alt", "").strip():
            if not found["src"].endswith("_thumb.png"):  # which stands above its title
                self.wordless.append(found["src"])
        elif tag == "table":
            self._in_list = "autosummary" in found.get("class", "").split()
        elif tag == "tr" and self._in_list:
            self.cells.append([])
        elif tag == "td" and self._in_list:
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a list."""
        if tag == "table":
            self._in_list = False

    def handle_data(self, data: str) -> None:
        """Note the text of a cell."""
        if self._in_list and self.cells and self.cells[-1]:
            self.cells[-1][-1] += data.strip()


def faults(name: str, pages: dict[str, Page]) -> Iterator[str]:
    """Yield what is wrong with a page.

    Args:
        name: The page's path, from the root of the site.
        pages: All pages by their paths.
    """
    page = pages[name]
    if page.levels.count(1) != 1:
        yield f"has {page.levels.count(1)} main headings"
    for before, after in pairwise(page.levels):
        if after > before + 1:
            yield f"goes from a heading of level {before} to one of level {after}"
    for picture in page.wordless:
        yield f"has a picture without words: {picture}"
    for first, *others in page.cells:
        if not all(others):
            yield f"does not describe {first}"
    for link in sorted(page.links):
        target = urlsplit(link)
        if target.scheme or target.netloc or not target.fragment:
            continue
        there = normpath(join(dirname(name), unquote(target.path))) if target.path else name
        if there in pages and unquote(target.fragment) not in pages[there].places:
            yield f"has a link to a place that is not there: {link}"


def check(app: Sphinx, exception: Exception | None) -> None:
    """Warn of what is wrong with the pages."""
    if exception is not None or app.builder.format != "html":
        return
    root = Path(app.outdir)
    names = [app.builder.get_target_uri(name) for name in app.env.found_docs]
    names += ["genindex.html", "search.html"]
    names += [path.relative_to(root).as_posix() for path in root.glob("_modules/**/*.html")]
    pages = {name: Page((root / name).read_text(encoding="utf-8")) for name in names}
    for name in sorted(pages):
        for fault in faults(name, pages):
            LOGGER.warning("%s %s", name, fault)


def setup(app: Sphinx) -> None:
    """Connect what is above to Sphinx."""
    app.connect("build-finished", check)
