"""Compare samplers on the digits' network by a sweep, and print the table of docs/bulk.md.

    python -m docs.sweep_table            # prints it
    python -m docs.sweep_table --write    # puts it into docs/bulk.md

from the root of the repository. It needs NumPy alone, and takes a quarter of a minute.
"""

import argparse
import runpy
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from schedalg import DDIM, DEIS, DPMSolverPP, Recipe, Schedule, Sweep, UniPC, sweep

PAGE = Path(__file__).with_name("bulk.md")
START, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
DIGITS = Path(__file__).parent / "examples" / "digits"
BASE = Schedule.linear(1000)
SAMPLERS = {"DDIM()": DDIM(), "DPMSolverPP()": DPMSolverPP(), "UniPC()": UniPC(), "DEIS()": DEIS()}
CALLS = (5, 10, 20)
SEEDS, BATCH = range(1000), 200


def recipe(sampler: Any, steps: int) -> Recipe:
    """Return the recipe of a sampler and a number of steps."""
    points = BASE.subsample(steps=steps, spacing="trailing")
    return Recipe(schedule=points, sampler=sampler, shape=(1, 8, 8), clip=(-1, 1))


RECIPES = {f"{name}/{n}": recipe(sampler, n) for name, sampler in SAMPLERS.items() for n in CALLS}
#: What all others are measured against.
MANY = recipe(DPMSolverPP(), 200)


def labels(seeds: list[int]) -> dict[str, Any]:
    """Return the class of each seed's digit."""
    return {"labels": np.array(seeds) % 10}


def swept(out: Path, recipes: Mapping[str, Recipe] = RECIPES, **options: Any) -> Sweep:
    """Return the table of the recipes, which is kept in a file."""
    network = runpy.run_path(str(DIGITS / "network.py"))["DigitsNetwork"].load(
        DIGITS / "weights.npz"
    )
    solved: dict[int, np.ndarray] = {}

    def distance(samples: Any, seeds: list[int]) -> dict[str, float]:
        """Return the mean distance of a pixel to that of many steps from the same noise."""
        if seeds[0] not in solved:
            solved[seeds[0]] = MANY.sample(network, seeds, cond=labels)
        return {"distance": float(np.abs(samples - solved[seeds[0]]).mean())}

    given = {"seeds": SEEDS, "batch_size": BATCH, "cond": labels, **options}
    return sweep(network, recipes, measure=distance, out=out, **given)


def table(found: Sweep) -> str:
    """Return what was measured as Markdown: a row for each sampler."""
    shown = {
        each.recipe: f"{each.mean['distance']:.4f} ± {each.error['distance']:.4f}"
        for each in found.averages()
    }
    lines = [["sampler", *(f"{n} calls" for n in CALLS)], ["---"] * (1 + len(CALLS))]
    lines += [[f"`{name}`", *(shown[f"{name}/{n}"] for n in CALLS)] for name in SAMPLERS]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put it into docs/bulk.md")
    write = parser.parse_args().write
    with tempfile.TemporaryDirectory() as folder:
        text = table(swept(Path(folder) / "digits.csv"))
    if not write:
        print(text)
        return
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(START)
    PAGE.write_text(before + START + text + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
