"""Compare choices of steps by the samples that two networks for digits make with few calls.

    python docs/examples/mnist/compare.py            # prints the tables, draws `compare.png`
    python docs/examples/mnist/compare.py --write    # puts them into docs/real-networks.md

It needs NumPy, scikit-learn and matplotlib. What has been measured is kept in `compare.json` in the
current folder: a run that was stopped goes on where it was. Remove the file to measure anew.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from methods import (
    HERE,
    LEARNED,
    METHODS,
    TWO_M,
    Array,
    Method,
    by_noise,
    has,
    plan_for,
    subject,
)
from sample import frechet_distance  # in the folder that `methods` has put on the path
from threadpoolctl import threadpool_limits

from schedalg import Plan, run

PAGE = HERE.parents[1] / "real-networks.md"
PICTURE = HERE.parents[1] / "images" / "real-networks.png"
START, END = "<!-- table {}: begin -->\n", "<!-- table {}: end -->\n"
CALLS = (3, 4, 5, 6, 8, 10, 20)
#: The steps of the solution that deterministic samplers are measured against.
MANY = 200
#: Methods of the lines that are for comparison.
REAL, SOLVED = ("real digits", ""), ("2M", "log-SNR")
#: The networks, and how many images a block of each has.
NETWORKS = {"8x8": 800, "28x28": 200}


def by_log_snr(steps: int) -> Plan:
    """Return the plan of so many steps of 2M, which is near the solution if they are many."""
    return TWO_M.plan(by_noise("log_snr", steps))


def distance(features: Array, real: Array) -> float:
    """Return the Fréchet distance between features, extrapolated to any number of images.

    It falls with the number of images by a part that goes as one over it: twice that of all, minus
    the mean of that of the two halves (Chong and Forsyth, arXiv 1911.07023).
    """
    half = len(features) // 2
    halves = (features[:half], features[half:])
    return 2 * frechet_distance(features, real) - sum(frechet_distance(f, real) for f in halves) / 2


def key(name: str, block: int | str, method: Method, calls: int) -> str:
    """Return the name under which a result is kept."""
    return "|".join(map(str, (name, block, *method, calls)))


def plan_kept(plans: Mapping[str, dict[str, Any]], name: str, method: Method, calls: int) -> Plan:
    """Return a plan: that which is kept, if it was learned."""
    plan = plans.get(key(name, "plan", method, calls))
    return plan_for(name, method, calls) if plan is None else Plan.from_dict(plan)


def learn(name: str, method: Method, calls: int) -> tuple[dict[str, Any], float]:
    """Return a plan that is learned from samples, as JSON, and the CPU seconds that it took."""
    with threadpool_limits(1):
        subject(name)
        begin = time.process_time()
        plan = plan_for(name, method, calls)
    return plan.to_dict(), time.process_time() - begin


def measure_block(
    name: str,
    block: int,
    images: int,
    wanted: list[tuple[Method, int]],
    learned: dict[str, dict[str, Any]],
) -> tuple[dict[str, list[float]], float]:
    """Sample a block of images with each method and number of calls that is wanted.

    Args:
        name: The network's.
        block: Its number, which seeds the noise.
        images: How many.
        wanted: Methods and numbers of calls.
        learned: The plans of those that are learned, as `learn` returns them.

    Returns:
        The Fréchet distance of each to real digits, and, where the sampler draws nothing, the root
        mean square distance to the solution from the same start; and the CPU seconds that it took.
    """
    begin = time.process_time()
    with threadpool_limits(1):
        of = subject(name)
        x, options = of.start(images, seed=block), of.options(images)
        solved = run(by_log_snr(MANY), of.network, x, **options)
        real = of.reference.held_out
        measured = {
            key(name, block, REAL, 0): [distance(of.reference.others(images, block), real)],
            key(name, block, SOLVED, MANY): [distance(of.reference.features(solved), real)],
        }
        for method, calls in wanted:
            plan = plan_kept(learned, name, method, calls)
            result = run(plan, of.network, x, noise=block, **options)
            values = [distance(of.reference.features(result), real)]
            if not plan.c.any():
                values.append(float(np.sqrt(np.mean((result - solved) ** 2))))
            measured[key(name, block, method, calls)] = values
    return measured, time.process_time() - begin


class Kept:
    """What has been measured, in a file: a run that was stopped goes on where it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        empty: dict[str, Any] = {"plans": {}, "measured": {}, "seconds": 0.0}
        self._all = json.loads(path.read_text(encoding="utf-8")) if path.exists() else empty
        self.plans: dict[str, dict[str, Any]] = self._all["plans"]
        self.measured: dict[str, list[float]] = self._all["measured"]

    def add(self, what: str, seconds: float) -> None:
        """Write the file after something was added, and say how long that took."""
        self._all["seconds"] += seconds
        self._path.write_text(json.dumps(self._all, indent=0), encoding="utf-8")
        total = self._all["seconds"] / 60
        print(f"{what}: {seconds:.0f} s of CPU, {total:.1f} minutes in all", flush=True)


def learn_all(kept: Kept, names: Sequence[str], counts: Sequence[int], pool: Executor) -> None:
    """Learn the plans that are lacking, side by side, the longest first."""
    jobs = {}
    for calls in sorted(counts, reverse=True):
        for name, method in product(names, LEARNED):
            if has(method, calls) and key(name, "plan", method, calls) not in kept.plans:
                jobs[pool.submit(learn, name, method, calls)] = name, method, calls
    for done in as_completed(jobs):
        name, method, calls = jobs[done]
        plan, seconds = done.result()
        kept.plans[key(name, "plan", method, calls)] = plan
        kept.add(f"{name}, {', '.join(method)}, {calls} calls", seconds)


def measure_all(arguments: argparse.Namespace) -> Kept:
    """Measure what `compare.json` lacks, blocks side by side, and return all of it."""
    kept = Kept(Path("compare.json"))
    with ProcessPoolExecutor(arguments.jobs) as pool:
        learn_all(kept, arguments.networks, arguments.calls, pool)
        jobs = {}
        for name, block in product(arguments.networks, range(arguments.blocks)):
            wanted = [
                (method, calls)
                for method, calls in product(METHODS, arguments.calls)
                if has(method, calls) and key(name, block, method, calls) not in kept.measured
            ]
            if wanted:
                images = arguments.images or NETWORKS[name]
                job = pool.submit(measure_block, name, block, images, wanted, kept.plans)
                jobs[job] = f"{name}, block {block}"
        for done in as_completed(jobs):
            measured, seconds = done.result()
            kept.measured |= measured
            kept.add(jobs[done], seconds)
    return kept


class Results:
    """The results of a network, as means over blocks with standard errors."""

    def __init__(self, results: Mapping[str, list[float]], name: str, blocks: int) -> None:
        self.name, self._results, self._blocks = name, results, blocks

    def blocks(self, method: Method, calls: int, column: int = 0) -> Array:
        """Return the Fréchet distance of each block, or, in column 1, that to the solution."""
        names = (key(self.name, block, method, calls) for block in range(self._blocks))
        return np.array([self._results[name][column] for name in names])

    def draws(self, method: Method, calls: int) -> bool:
        """Say whether a method draws noise, and so has no distance to the solution."""
        return len(self._results[key(self.name, 0, method, calls)]) == 1

    def cells(self, method: Method, counts: Sequence[int], column: int = 0) -> Iterable[str]:
        """Yield a method's numbers as text, a dash where it has no plan."""
        for n in counts:
            yield shown(self.blocks(method, n, column), 2 + column) if has(method, n) else "–"

    def quality(self, counts: Sequence[int]) -> str:
        """Return the Fréchet distances of all methods as Markdown."""
        lines = [[*m, *self.cells(m, counts)] for m in METHODS]
        return markdown(["sampler", "points", *map(str, counts)], lines) + (
            f"\n2M with {MANY} calls: {shown(self.blocks(SOLVED, MANY))}. "
            f"Real digits that the network was trained on: {shown(self.blocks(REAL, 0))}.\n"
        )

    def distances(self, counts: Sequence[int]) -> str:
        """Return the distances to the solution as Markdown."""
        lines = [
            [*m, *self.cells(m, counts, column=1)] for m in METHODS if not self.draws(m, counts[0])
        ]
        return markdown(["sampler", "points", *map(str, counts)], lines)

    def halved(self) -> Iterable[list[str]]:
        """Yield, for each sampler and distance, the best with 5 calls beside trailing with 10."""
        for sampler in ("DDPM", "DDIM", "2M"):
            trailing = (sampler, "trailing")
            own = [m for m in METHODS if m[0].split(",")[0] == sampler]
            for column, measure in enumerate(("Fréchet", "to the solution")):
                if column and self.draws(trailing, 10):
                    continue
                digits = 2 + column
                ten = self.blocks(trailing, 10, column)
                best = min(own, key=lambda m: float(self.blocks(m, 5, column).mean()))
                five = self.blocks(best, 5, column)
                numbers = (shown(values, digits) for values in (ten, five, five - ten))
                yield [self.name, sampler, measure, *numbers, ", ".join(best)]


def shown(values: Array, digits: int = 2) -> str:
    """Return a mean and its standard error as text."""
    mean = f"{values.mean():.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {values.std(ddof=1) / len(values) ** 0.5:.{digits}f}"


def markdown(titles: list[str], lines: Iterable[list[str]]) -> str:
    """Return a table as Markdown."""
    rows = [titles, ["---"] * len(titles), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def tables(all_of: Sequence[Results], counts: Sequence[int]) -> dict[str, str]:
    """Return all tables by name."""
    titles = ["network", "sampler", "distance", "trailing, 10", "best, 5", "difference", "the best"]
    made = {}
    if {5, 10} <= set(counts):
        made["halved"] = markdown(titles, [row for of in all_of for row in of.halved()])
    for of in all_of:
        made[f"quality {of.name}"] = of.quality(counts)
        made[f"distances {of.name}"] = of.distances(counts)
    return made


#: The lines of the picture, and its rows of digits.
LINES: Mapping[Method, str] = {
    ("DDPM", "trailing"): "tab:red",
    ("DDPM, variance that fits", "chosen, trajectories"): "tab:orange",
    ("DDIM", "trailing"): "tab:blue",
    ("DDIM", "chosen, trajectories"): "tab:cyan",
    ("2M", "trailing"): "tab:green",
    ("2M", "log-SNR"): "yellowgreen",
    ("2M, fitted", "chosen, trajectories"): "black",
    ("2M, tuned", "chosen, moved"): "tab:purple",
}
ROWS: Sequence[tuple[Method, int]] = (
    (("DDPM", "trailing"), 10),
    (("DDPM", "trailing"), 5),
    (("DDPM, variance that fits", "chosen, trajectories"), 5),
    (("2M", "trailing"), 10),
    (("2M", "trailing"), 5),
    (("2M, fitted", "chosen, trajectories"), 5),
    (("2M, tuned", "chosen, moved"), 5),
    (("2M, tuned", "chosen, moved"), 3),
)
COLUMNS = 20


def picture(
    all_of: Sequence[Results], counts: Sequence[int], plan_of: Callable[..., Plan], path: Path
) -> None:
    """Draw distances against calls, and digits of the last network below."""
    figure = plt.figure(figsize=(10, 9))
    grid = figure.add_gridspec(2, 1, height_ratios=(1.35, 1))
    above, below = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    for axis, of in zip(np.atleast_1d(above.subplots(1, len(all_of))), all_of, strict=True):
        for method, color in LINES.items():
            measured = [n for n in counts if has(method, n)]
            if not measured:
                continue
            values = np.array([of.blocks(method, n) for n in measured])
            error = values.std(axis=1) / max(values.shape[1] - 1, 1) ** 0.5
            style = "--" if method[1] == "trailing" else "-"
            label = ", ".join(method)
            mean = values.mean(axis=1)
            axis.errorbar(measured, mean, error, color=color, ls=style, label=label)
        axis.axhline(
            of.blocks(SOLVED, MANY).mean(), color="gray", ls=":", label=f"2M, {MANY} calls"
        )
        axis.set(xscale="log", yscale="log", title=f"{of.name} digits", xlabel="calls")
        axis.set_xticks(counts, labels=map(str, counts), minor=False)
        axis.set_xticks([], minor=True)
    above.axes[0].set_ylabel("Fréchet distance")
    # Below the axes, where it covers nothing.
    lines = above.axes[-1].get_legend_handles_labels()
    above.legend(*lines, loc="lower center", ncols=3, fontsize=7, frameon=False)
    above.subplots_adjust(left=0.09, right=0.99, top=0.93, bottom=0.28)
    strips(all_of[-1].name, counts, plan_of, below)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def strips(name: str, counts: Sequence[int], plan_of: Callable[..., Plan], figure: Any) -> None:
    """Draw a row of digits for each of `ROWS`, from the same noise, below those of many steps."""
    of = subject(name)
    x, options = of.start(COLUMNS, seed=0), of.options(COLUMNS)
    plans = {f"2M, {MANY}": by_log_snr(MANY)}
    plans |= {f"{', '.join(m)}, {n}": plan_of(name, m, n) for m, n in ROWS if n in counts}
    for axis, (label, plan) in zip(figure.subplots(len(plans), 1), plans.items(), strict=True):
        images = run(plan, of.network, x, noise=0, **options)
        axis.imshow(np.concatenate(list(images[:, 0]), axis=1), cmap="gray", vmin=-1, vmax=1)
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.subplots_adjust(left=0.33, right=0.995, top=0.995, bottom=0.01, hspace=0.05)


def write(made: Mapping[str, str]) -> None:
    """Put the tables into the page."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in made.items():
        before, rest = text.split(START.format(name))
        after = rest.split(END.format(name))[1]
        text = before + START.format(name) + table + END.format(name) + after
    PAGE.write_text(text, encoding="utf-8")


def main() -> None:
    """Measure, print the tables and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--calls", type=int, nargs="+", default=CALLS, help="of the network")
    parser.add_argument("--blocks", type=int, default=3, help="of images from seeds of their own")
    parser.add_argument("--images", type=int, help="in a block")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--write", action="store_true", help="put the results into the docs")
    arguments = parser.parse_args()
    kept = measure_all(arguments)
    all_of = [Results(kept.measured, name, arguments.blocks) for name in arguments.networks]
    made = tables(all_of, arguments.calls)
    for name, table in made.items():
        print(f"\n{name}\n\n{table}", end="")
    path = PICTURE if arguments.write else Path("compare.png")
    picture(all_of, arguments.calls, partial(plan_kept, kept.plans), path)
    if arguments.write:
        write(made)


if __name__ == "__main__":
    main()
