"""Measure the exactness of schedules against 60-digit arithmetic, and print the table of the docs.

    python -m docs.exactness_table            # prints it
    python -m docs.exactness_table --write    # puts it into docs/exactness.md

from the root of the repository, with the packages that the tests need.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mpmath import mp, mpf

from schedalg import Schedule
from tests.registry import oracle
from tests.registry.schedules import FAMILIES
from tests.test_exactness import relative_error

N = 1000
SUBSETS = 20
PAGE = Path(__file__).with_name("exactness.md")
START, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"


def usual_betas(schedule: Schedule, selected: np.ndarray) -> np.ndarray:
    """Return the betas of a subset as they are usually computed: cumprod, then 1 - a ratio."""
    alphas_cumprod = np.cumprod(1 - schedule.to_betas())[selected]
    with np.errstate(all="ignore"):  # 0/0, where the cumulative product has underflowed
        betas: np.ndarray = 1 - alphas_cumprod / np.concatenate([[1.0], alphas_cumprod[:-1]])
    return betas


def worst_betas(
    exact: list[mpf], betas: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator
) -> float:
    """Return the largest relative error of β over random subsets."""
    worst = 0.0
    for size in np.geomspace(2, N, SUBSETS).astype(int):
        selected = np.sort(rng.choice(N, size, replace=False))
        values = np.nan_to_num(betas(selected), nan=2.0)
        worst = max(worst, relative_error(values, oracle.betas(exact, selected.tolist())))
    return worst


def row(name: str) -> str:
    """Return the line of one constructor."""
    make, definition = FAMILIES[name]
    schedule, exact = make(N).as_vp(), definition(N)
    rng = np.random.default_rng(0)
    errors = [
        worst_betas(exact, lambda selected: usual_betas(schedule, selected), rng),
        worst_betas(exact, lambda selected: schedule[selected].to_betas(), rng),
        relative_error(schedule.sigma**2, [1 - a for a in exact]),
        relative_error(schedule.to_alphas_cumprod(), exact),
        relative_error(np.cumprod(schedule.to_alphas()), exact),
    ]
    cells = [f"{error:.0e}" if error else "0" for error in errors]
    return f"| `{name}` | " + " | ".join(cells) + " |\n"


def table() -> str:
    """Return the whole table, as Markdown."""
    mp.dps = 60
    head = "| schedule | β', usual way | β' | σ² | ᾱ | ∏ (1 − β) |\n" + "| --- " * 6 + "|\n"
    return head + "".join(row(name) for name in FAMILIES)


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put it into docs/exactness.md")
    text = table()
    if not parser.parse_args().write:
        print(text, end="")
        return
    page = PAGE.read_text()
    before, rest = page.split(START)
    PAGE.write_text(before + START + text + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
