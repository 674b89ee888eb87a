"""Measure what fitted coefficients gain, and print the tables of docs/fitting.md.

    python -m docs.fitting_table            # prints them
    python -m docs.fitting_table --write    # puts them into docs/fitting.md

from the root of the repository, with the packages that the tests need. It takes some minutes.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from docs.few_steps_table import DATA, Cloud, distance, exact, noise
from docs.pages import markdown, print_or_write
from schedalg import DDIM, DPMSolverPP, Plan, Schedule, fit, run, trajectories, tune
from schedalg.fitting.trajectories import Trajectories

PAGE = Path(__file__).with_name("fitting.md")
BASE = Schedule.linear(1000)
#: Samples to fit to.
SAMPLES = 512


def on_grid(schedule: Schedule) -> Schedule:
    """Return the points of the base that are nearest to those of a schedule."""
    nearest: Schedule = BASE[np.unique(np.round(schedule.timesteps).astype(int)).tolist()]
    return nearest


SPACINGS: Mapping[str, Callable[[int], Schedule]] = {
    "trailing": lambda n: BASE.subsample(steps=n, spacing="trailing"),
    "log_snr": lambda n: on_grid(BASE.subsample(steps=n, spacing="log_snr")),
    "quadratic": lambda n: BASE.subsample(steps=n, spacing="quadratic"),
}


def network(cloud: Cloud) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the perfect network, which is called at one timestep at a time, a fraction or not."""
    listed, log_snr = np.arange(1000.0), BASE.to_log_snr()

    def x0(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        here = np.interp(timesteps[0], listed, log_snr)
        return np.asarray(cloud.x0(x, *((1 + np.exp(sign * here)) ** -0.5 for sign in (-1, 1))))

    return x0


def learned_from(cloud: Cloud, schedule: Schedule) -> Trajectories:
    """Return trajectories of 2M in 1000 steps, of seeds that nothing is measured on."""
    x = np.random.default_rng(0).standard_normal((SAMPLES, cloud.means.shape[1]))
    teacher = DPMSolverPP(order=2).plan(BASE)
    return trajectories(network(cloud), schedule, x, teacher, prediction="x0")


def error(cloud: Cloud, plan: Plan) -> str:
    """Return the error of a plan on new seeds, relative to the size of the result."""
    x = run(plan, network(cloud), noise(cloud), prediction="x0")
    return f"{distance(x, exact(cloud, plan.schedule)):.2g}"


def mixtures() -> str:
    """Return the table of perfect networks, as Markdown."""
    lines = []
    for name, cloud in DATA.items():
        if len(cloud.means) == 1:
            continue  # its network is linear, and 2M with five steps as good as exact
        for spacing, points in SPACINGS.items():
            s = points(5)
            made = learned_from(cloud, s)
            start = DPMSolverPP(order=2).plan(s)
            plans = [DDIM().plan(s), start, fit(start, made), fit(start, made, memories=3)]
            plans += [
                tune(start, made, memories=3, noise_levels=moving) for moving in (False, True)
            ]
            plans += [DPMSolverPP(order=2).plan(points(n)) for n in (10, 20, 40)]
            lines.append([name, f"`{spacing}`", *(error(cloud, plan) for plan in plans)])
    titles = ["data", "points", "DDIM", "2M", "2M, fitted", "fitted, 3 memories"]
    titles += ["tuned", "tuned, levels too", *(f"2M, {n} calls" for n in (10, 20, 40))]
    return str(markdown(titles, lines))


def digits() -> str:
    """Return the table of the digits' network, as Markdown."""
    sys.path.insert(0, str(Path(__file__).parent / "examples" / "digits"))
    trained = importlib.import_module("network").DigitsNetwork
    model = trained.load(Path(__file__).parent / "examples" / "digits" / "weights.npz")
    x, new = (
        np.random.default_rng(seed).standard_normal((count, 1, 8, 8), dtype=np.float32)
        for seed, count in ((0, 64), (1, 500))
    )
    labels, new_labels = np.arange(len(x)) % 10, np.arange(len(new)) % 10
    teacher = DPMSolverPP(order=2).plan(BASE)
    wanted = run(
        DPMSolverPP(order=2).plan(BASE.subsample(steps=200)), model, new, labels=new_labels
    )
    lines = []
    for spacing, points in SPACINGS.items():
        s = points(5)
        made = trajectories(model, s, x, teacher, labels=labels)
        start = DPMSolverPP(order=2).plan(s)
        plans = [DDIM().plan(s), start, fit(start, made, memories=3)]
        plans += [
            tune(start, made, memories=3, noise_levels=moving, rounded=True)
            for moving in (False, True)
        ]
        plans += [DPMSolverPP(order=2).plan(points(n)) for n in (10, 20)]
        off = [distance(run(plan, model, new, labels=new_labels), wanted) for plan in plans]
        lines.append([f"`{spacing}`", *(f"{value:.2g}" for value in off)])
    titles = ["points", "DDIM", "2M", "fitted, 3 memories", "tuned", "tuned, levels too"]
    return str(markdown([*titles, "2M, 10 calls", "2M, 20 calls"], lines))


def main() -> None:
    """Print the tables, or write them into the page."""
    print_or_write(PAGE, lambda: {"mixtures": mixtures(), "digits": digits()}, __doc__)


if __name__ == "__main__":
    main()
