"""Tables in the pages of the docs: as Markdown, and put where the page says.

A page has lines `<!-- table NAME: begin -->` and `<!-- table NAME: end -->` around each table, or
without a name if it has one.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any


def markdown(titles: list[str], lines: Iterable[list[Any]]) -> str:
    """Return a table as Markdown."""
    rows = [titles, ["---"] * len(titles), *lines]
    return "".join(f"| {' | '.join(map(str, row))} |\n" for row in rows)


def put(page: Path, tables: Mapping[str, str]) -> None:
    """Put tables into a page, by their names."""
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        begin, end = (f"<!-- {f'table {name}'.strip()}: {edge} -->\n" for edge in ("begin", "end"))
        before, rest = text.split(begin)
        text = before + begin + table + end + rest.split(end)[1]
    page.write_text(text, encoding="utf-8")


def print_or_write(page: Path, measure: Callable[[], Mapping[str, str]], about: str) -> bool:
    """Measure tables, and print them, or with `--write` put them into a page.

    Args:
        page: The page.
        measure: Returns the tables by their names.
        about: What `--help` says.

    Returns:
        Whether they were written.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"put them into docs/{page.name}")
    write = bool(parser.parse_args().write)
    tables = measure()
    if write:
        put(page, tables)
    else:
        print(*tables.values(), sep="\n")
    return write
