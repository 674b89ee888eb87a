"""Measure the exactness of schedules against 60-digit arithmetic, and print the tables of the docs.

    python -m docs.exactness_table            # prints them
    python -m docs.exactness_table --write    # puts them into docs/exactness.md

from the root of the repository, with the packages that the tests need.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from mpmath import mp, mpf

from docs.pages import print_or_write
from schedalg import Schedule
from tests.registry import oracle
from tests.registry.schedules import FAMILIES, Family
from tests.test_exactness import EXTREMES, errors, line_of, relative_error

N = 1000
SUBSETS = 20
PAGE = Path(__file__).with_name("exactness.md")
#: Points of the schedules that operations are measured on.
POINTS = 40


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


def _constructed(s: Schedule, exact: list[mpf]) -> tuple[Schedule, list[mpf]]:
    return s, exact


def _shifts(*factors: float) -> "Operation":
    def shifted(s: Schedule, exact: list[mpf]) -> tuple[Schedule, list[mpf]]:
        for factor in factors:
            s, exact = s.shift(factor), oracle.shift(exact, factor)
        return s, exact

    return shifted


def _rescaled(s: Schedule, exact: list[mpf]) -> tuple[Schedule, list[mpf]]:
    return s.as_vp().rescale_zero_terminal_snr(), oracle.rescale_zero_terminal_snr(exact)


def _refined(s: Schedule, exact: list[mpf]) -> tuple[Schedule, list[mpf]]:
    line = line_of(s)
    if exact[-1] == 0 and line != "t":
        s, exact = s[:-1], exact[:-1]
    return s.refine(3), oracle.refine(exact, 3, line)


def _spaced(s: Schedule, exact: list[mpf]) -> tuple[Schedule, list[mpf]]:
    return s.subsample(steps=20, spacing="karras"), oracle.spaced(exact, 20, 7)


#: What is done to a schedule, and to its ᾱ in mpmath.
Operation = Callable[[Schedule, list[mpf]], tuple[Schedule, list[mpf]]]
OPERATIONS: dict[str, tuple[Operation, Callable[[Schedule], bool]]] = {
    "constructors": (_constructed, lambda s: True),
    "`shift(1e-3)`": (_shifts(1e-3), lambda s: True),
    "`shift(3.0)`": (_shifts(3.0), lambda s: True),
    "`shift(1e3)`": (_shifts(1e3), lambda s: True),
    "`rescale_zero_terminal_snr()`": (_rescaled, lambda s: s.network_kind != "ve"),
    "`refine(3)`": (_refined, lambda s: True),
    '`subsample(steps=20, spacing="karras")`': (_spaced, lambda s: np.isfinite(s.to_sigmas()[-1])),
    "40 shifts": (_shifts(*[3.0, 0.25, 1.7, 0.6] * 10), lambda s: True),
}


def operations() -> str:
    """Return the table of operations, as Markdown: the worst over all schedules, in ulp."""
    mp.dps = 160
    names = ("β", "σ²", "ᾱ", "log SNR", "posterior variance", "others")
    lines = [f"| operation | {' | '.join(names)} |\n", "| --- " * 7 + "|\n"]
    every: dict[str, Family] = {**FAMILIES, **EXTREMES}
    exact = {name: family.exact(POINTS) for name, family in every.items()}
    for title, (operation, suits) in OPERATIONS.items():
        worst: dict[str, float] = {}
        for name, family in every.items():
            schedule = family.make(POINTS)
            if suits(schedule):
                for column, error in errors(*operation(schedule, exact[name])).items():
                    key = column if column in names else "others"
                    worst[key] = max(worst.get(key, 0.0), error)
        cells = " | ".join(f"{worst[name]:.1f}" for name in names)
        lines.append(f"| {title} | {cells} |\n")
    return "".join(lines)


def main() -> None:
    """Print the tables, or write them into the page."""
    print_or_write(PAGE, lambda: {"": table(), "operations": operations()}, __doc__)


if __name__ == "__main__":
    main()
