"""That links between pages lead somewhere, on GitHub too, and that pages can be read aloud.

Sphinx looks at the links of the site, and not at those of README and its neighbours.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    path
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    if "api" not in path.relative_to(ROOT).parts
]

#: Pages that are made with the site, which looks at links to them itself.
MADE = {"pictures/index.rst"}


def prose(page: Path) -> str:
    """Return a page without its code."""
    text = re.sub(r"^( *)(```+).*?^\1\2 *$", "", page.read_text("utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`]*`", "code", text)


def headings(page: Path) -> list[tuple[int, str]]:
    """Return the level and the text of each heading, code included."""
    text = re.sub(r"^( *)(```+).*?^\1\2 *$", "", page.read_text("utf-8"), flags=re.M | re.S)
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.+)$", text, re.M)]


@cache
def anchors(page: Path) -> set[str]:
    """Return what GitHub names the headings of a page in links."""
    found: list[str] = []
    for _, title in headings(page):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
        name = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.append(f"{name}-{found.count(name)}" if name in found else name)
    return set(found)


def broken(page: Path) -> Iterator[str]:
    """Yield the links of a page that lead nowhere."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://|mailto:", target) or target in MADE:
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            yield target


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_headings_are_in_order(page: Path) -> None:
    levels = [level for level, _ in headings(page)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pictures_say_what_they_show(page: Path) -> None:
    for alternative in re.findall(r"!\[([^]]*)\]\(", prose(page)):
        assert len(alternative.split()) >= 4, alternative


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_headers_of_tables_are_not_empty(page: Path) -> None:
    for header in re.findall(r"^\|(.+)\|\n\| ?-", prose(page), re.M):
        assert all(cell.strip() for cell in header.split("|")), header


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `page`, and more\n\n[here](#a-page-and-more) [gone](gone.md) [no](#nowhere)\n\n"
        "```\n[code](is-no-link)\n```\n",
        "utf-8",
    )
    assert list(broken(page)) == ["gone.md", "#nowhere"]
