"""What is compared in `compare.py`: samplers and points, for two networks for digits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from reference import Reference, measure
from transformer import NUM_CLASSES, TRAIN_SCHEDULE, MnistNetwork

from schedalg import (
    DDIM,
    DDPM,
    DPMSolverPP,
    Plan,
    Schedule,
    TableSampler,
    choose,
    fit,
    minimize,
    run,
    trajectories,
    trajectory_costs,
    tune,
)
from schedalg.parameterization import Prediction

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "digits"))
from network import DigitsNetwork, load_digits_split  # noqa: E402

#: Points of the trajectories that points are chosen by and coefficients fitted to; how many there
#: are; how many of them levels are moved by, and how often these are tried.
TEACHER: Schedule = TRAIN_SCHEDULE.subsample(steps=100, spacing="log_snr", rounded=True)
TRAJECTORIES, FOR_LEVELS, TRIES = 32, 16, 60
#: How many samples plans are tuned on, and the most calls of a plan that is tuned: the work grows
#: with their cube.
FOR_TUNING, MOST_TUNED = 40, 6

Array = NDArray[np.floating]
#: Sampler and points.
Method = tuple[str, str]


class Subject:
    """A network with all that is measured of it before the comparison."""

    def __init__(
        self, network: Any, prediction: Prediction, shape: tuple[int, ...], reference: Reference
    ) -> None:
        self.network, self.prediction, self.shape = network, prediction, shape
        self.reference, self.errors = reference, reference.errors

    def start(self, images: int, seed: int) -> Array:
        """Return the noise that samples start from."""
        rng = np.random.default_rng(seed)
        return rng.standard_normal((images, *self.shape), dtype=np.float32)

    def options(self, images: int) -> dict[str, Any]:
        """Return the keywords of `run`: as many images of each class."""
        labels = np.arange(images) % NUM_CLASSES
        return {"prediction": self.prediction, "clip": (-1, 1), "labels": labels}

    @cached_property
    def fitting_costs(self) -> Array:
        """Return what each step loses in nats with the variance that fits, (1000, 1000)."""
        costs: Array = np.log1p(2 * TRAIN_SCHEDULE.kl_costs(self.errors)) / 2
        return costs

    @cached_property
    def trajectory_costs(self) -> Array:
        """Return how far steps between points of `TEACHER` land from trajectories, (100, 100)."""
        x, options = self.start(TRAJECTORIES, seed=1000), self.options(TRAJECTORIES)
        teacher = trajectories(self.network, TEACHER, x, DDIM().plan(TEACHER), **options)
        return trajectory_costs(teacher)


@cache
def subject(name: str) -> Subject:
    """Return a network by its name."""
    if name == "8x8":
        network = DigitsNetwork.load(HERE.parent / "digits" / "weights.npz")
        reference = measure(network, "epsilon", load_digits_split())
        return Subject(network, "epsilon", (1, 8, 8), reference)
    reference = Reference.load(HERE / "reference.npz")
    return Subject(MnistNetwork.load(HERE / "weights.npz"), "v", (1, 28, 28), reference)


def by_noise(spacing: Literal["karras", "log_snr"], steps: int) -> Schedule:
    """Return so many points by noise, at whole timesteps, which the networks ask for."""
    return TRAIN_SCHEDULE.subsample(steps=steps, spacing=spacing, rounded=True)


# The least noisy point of all but "trailing" is left out, and so they have one more at first: the
# network has nothing left to do there, and the step before may go to clean data.
POINTS: Mapping[str, Callable[[Subject, int], Schedule]] = {
    "trailing": lambda of, n: TRAIN_SCHEDULE.subsample(steps=n, spacing="trailing"),
    "Karras": lambda of, n: by_noise("karras", n + 1)[1:],
    "log-SNR": lambda of, n: by_noise("log_snr", n + 1)[1:],
    "chosen, nats": lambda of, n: TRAIN_SCHEDULE.subsample(steps=n + 1, errors=of.errors)[1:],
    "chosen, trajectories": lambda of, n: choose(TEACHER, n + 1, of.trajectory_costs)[1:],
}
TWO_M = DPMSolverPP(order=2)
SAMPLERS: Mapping[str, Callable[[Subject], TableSampler]] = {
    "DDPM": lambda of: DDPM(),
    "DDPM, variance that fits": lambda of: DDPM(variance=(TRAIN_SCHEDULE, of.errors)),
    "DDIM": lambda of: DDIM(),
    "2M": lambda of: TWO_M,
}


def plan_of(sampler: str, points: str) -> Callable[[Subject, int], Plan]:
    """Return the function that makes the plan of a sampler for a network and a number of calls."""
    return lambda of, n: SAMPLERS[sampler](of).plan(POINTS[points](of, n))


#: What is compared: a line of the tables for each. A method is a plan for a number of calls. (The
#: nats are those that DDPM's steps lose.)
METHODS: dict[Method, Callable[[Subject, int], Plan]] = {
    (sampler, points): plan_of(sampler, points)
    for sampler in SAMPLERS
    for points in POINTS
    if points != "chosen, nats" or sampler.startswith("DDPM")
}


def that_fit(of: Subject, n: int) -> Plan:
    """Return DDPM with the variance that fits, through the points that then lose least."""
    points = choose(TRAIN_SCHEDULE, n + 1, of.fitting_costs)[1:]
    return DDPM(variance=(TRAIN_SCHEDULE, of.errors)).plan(points)


def moved(of: Subject, n: int) -> Plan:
    """Return 2M through levels that were moved until it ends near a teacher."""
    x, options = of.start(FOR_LEVELS, seed=1001), of.options(FOR_LEVELS)
    wanted = run(TWO_M.plan(TEACHER), of.network, x, **options)

    def off(points: Schedule) -> float:
        result = run(TWO_M.plan(points.round_timesteps()), of.network, x, **options)
        return float(np.sqrt(np.mean((result - wanted) ** 2)))

    start = by_noise("log_snr", n + 1)[1:]
    return TWO_M.plan(minimize(start, off, free_first=True, max_calls=TRIES).round_timesteps())


def fitted(of: Subject, n: int) -> Plan:
    """Return 2M with the coefficients that lead closest to a teacher, and three memories."""
    points = POINTS["chosen, trajectories"](of, n)
    x, options = of.start(TRAJECTORIES, seed=1002), of.options(TRAJECTORIES)
    states = trajectories(of.network, points, x, TWO_M.plan(TEACHER), **options)
    return fit(TWO_M.plan(points), states, memories=3)


def tuned(of: Subject, n: int, sampler: TableSampler, memories: int) -> Plan:
    """Return a plan whose coefficients and levels together lead closest to a teacher."""
    points = POINTS["chosen, trajectories"](of, n)
    x, options = of.start(FOR_TUNING, seed=1003), of.options(FOR_TUNING)
    states = trajectories(of.network, points, x, TWO_M.plan(TEACHER), **options)
    start = fit(sampler.plan(points), states, memories=memories)
    return tune(start, states, memories=memories, rounded=True)


METHODS["DDPM, variance that fits", "chosen, nats that fit"] = that_fit
#: Those whose plans are learned from samples of the network.
LEARNED: dict[Method, Callable[[Subject, int], Plan]] = {
    ("DDIM, tuned", "chosen, moved"): lambda of, n: tuned(of, n, DDIM(), memories=1),
    ("2M", "log-SNR, moved"): moved,
    ("2M, fitted", "chosen, trajectories"): fitted,
    ("2M, tuned", "chosen, moved"): lambda of, n: tuned(of, n, TWO_M, memories=n),
}
METHODS |= LEARNED


def has(method: Method, calls: int) -> bool:
    """Say whether a method has a plan for a number of calls."""
    return ", tuned" not in method[0] or calls <= MOST_TUNED


@cache
def plan_for(name: str, method: Method, calls: int) -> Plan:
    """Return a method's plan for a network and a number of calls."""
    plan = METHODS[method](subject(name), calls)
    if plan.model_calls != calls:
        raise ValueError(f"{method} makes {plan.model_calls} calls, not {calls}")
    return plan
