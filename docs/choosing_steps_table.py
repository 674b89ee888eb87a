"""Measure what respacings lose, and print the tables of docs/choosing-steps.md.

    python -m docs.choosing_steps_table            # prints them
    python -m docs.choosing_steps_table --write    # puts them into docs/choosing-steps.md

from the root of the repository, with the packages that the tests need. It takes a minute.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from docs.pages import markdown, print_or_write
from schedalg import (
    DDIM,
    DDPM,
    DPMSolverPP,
    Sampler,
    Schedule,
    choose,
    choose_by_rollout,
    minimize,
    sample,
    score_lengths,
    trajectories,
    trajectory_costs,
)
from schedalg.testing import Mixture

PAGE = Path(__file__).with_name("choosing-steps.md")
BASE = Schedule.linear(1000)
#: Weight, mean and standard deviation of each peak.
PARTS = ((0.4, -0.8, 0.25), (0.6, 0.5, 0.4))
PEAKS = Mixture([m for _, m, _ in PARTS], [s for *_, s in PARTS], [w for w, *_ in PARTS])
COUNTS = (5, 10, 20, 50)
#: Samples for a distance between distributions.
SAMPLES = 200_000


def density(x: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
    """Return the density of x at a noise level, up to a factor."""
    spreads = [((alpha * own) ** 2 + sigma**2) ** 0.5 for *_, own in PARTS]
    parts = [
        weight / spread * np.exp(-(((x - alpha * mean) / spread) ** 2) / 2)
        for (weight, mean, _), spread in zip(PARTS, spreads, strict=True)
    ]
    return np.asarray(sum(parts))


def perfect_errors(schedule: Schedule) -> np.ndarray:
    """Return the errors of the perfect network, by quadrature over x at each point.

    What is left of E x0² without that of the prediction.
    """
    second = sum(weight * (mean**2 + own**2) for weight, mean, own in PARTS)
    errors = []
    for point in schedule:
        x = np.linspace(-12, 12, 6001) * PEAKS.marginal_std(point)
        shares = density(x, point.alpha, point.sigma)
        x0 = PEAKS.expectation(x, point)
        errors.append(second - float(shares @ x0**2) / float(shares.sum()))
    return np.array(errors)


ERRORS = perfect_errors(BASE)
#: The respacings of the tables.
SPACINGS: Mapping[str, Callable[[int], Schedule]] = {
    "`errors=errors`": lambda n: BASE.subsample(steps=n, errors=ERRORS),
    '`spacing="log_snr"`': lambda n: BASE.subsample(steps=n, spacing="log_snr"),
    '`spacing="karras"`': lambda n: BASE.subsample(steps=n, spacing="karras"),
    '`spacing="quadratic"`': lambda n: BASE.subsample(steps=n, spacing="quadratic"),
    '`spacing="linspace"`': lambda n: BASE.subsample(steps=n, spacing="linspace"),
    '`spacing="trailing"`': lambda n: BASE.subsample(steps=n, spacing="trailing"),
}
#: And of the second one, where the variance fits.
WITH_VARIANCE: Mapping[str, Callable[[int], Schedule]] = {
    "`together`": lambda n: choose(BASE, n, np.log1p(2 * BASE.kl_costs(ERRORS)) / 2),
    **SPACINGS,
}
VARIANCES: Mapping[str, DDPM] = {
    "fixed_small": DDPM(),
    "fixed_large": DDPM("fixed_large"),
    "that fits": DDPM((BASE, ERRORS)),
}


def nats() -> str:
    """Return the table of what respacings lose, as Markdown."""
    lines = [
        [name, *(brief(make(n).excess(ERRORS, than=BASE)) for n in COUNTS)]
        for name, make in SPACINGS.items()
    ]
    return str(markdown(["points", *map(str, COUNTS)], lines))


def brief(value: float) -> str:
    """Return a number in three digits or more, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def distances() -> str:
    """Return the table of distances between samples and data, as Markdown."""
    x = np.linspace(-5, 5, 200_001)
    below = np.cumsum(density(x, 1.0, 0.0))
    quantiles = np.interp((np.arange(SAMPLES) + 0.5) / SAMPLES, below / below[-1], x)
    rng = np.random.default_rng(0)
    start = np.sort(rng.standard_normal((SAMPLES, 1)), axis=0)
    counts = COUNTS[:-1]
    lines = []
    for name, make in WITH_VARIANCE.items():
        for variance, sampler in VARIANCES.items():
            cells = [name, variance]
            for n in counts:
                schedule = make(n)
                result = sample(PEAKS.denoiser(schedule), schedule, sampler, start, noise=rng)
                gap = np.sort(result[:, 0]) - quantiles
                cells.append(f"{float(np.sqrt((gap**2).mean())):.3f}")
            lines.append(cells)
    return str(markdown(["points", "variance", *map(str, counts)], lines))


def ends() -> str:
    """Return the table of distances to where many steps lead, as Markdown."""
    rng = np.random.default_rng(0)
    coarse = BASE.subsample(steps=60, spacing="log_snr")
    denoise = PEAKS.denoiser(coarse)
    x = rng.standard_normal((16, 64))
    peak = rng.random((64, 64)) < PARTS[0][0]
    (_, first, narrow), (_, second, wide) = PARTS
    means, spreads = np.where(peak, first, second), np.where(peak, narrow, wide)
    data = means + spreads * rng.standard_normal((64, 64))
    teacher = trajectories(denoise, coarse, x, DDIM().plan(coarse))
    costs = {
        "trajectory_costs": trajectory_costs(teacher),
        "length_costs": coarse.length_costs(score_lengths(denoise, coarse, data)),
        "weight_costs": coarse.weight_costs(),
        "kl_costs": coarse.kl_costs(BASE.errors_on(ERRORS, coarse)),
    }
    start = rng.standard_normal((200, 64))
    fine = BASE.subsample(steps=1000, spacing="log_snr")
    many = partial(sample, PEAKS.denoiser(fine), fine, DPMSolverPP(order=2))
    truth, of_teacher = many(start), many(x)

    def off(schedule: Schedule, sampler: Sampler, x: np.ndarray, truth: np.ndarray) -> float:
        result = sample(PEAKS.denoiser(schedule), schedule, sampler, x)
        return float(np.sqrt(((result - truth) ** 2).mean()))

    def moved(n: int, sampler: Sampler) -> Schedule:
        even = BASE.subsample(steps=n, spacing="log_snr")
        return minimize(even, lambda s: off(s, sampler, x, of_teacher), max_calls=400)

    choices: dict[str, Callable[[int, Sampler], Schedule]] = {
        "`minimize`, by this distance": moved,
        "`choose_by_rollout`": lambda n, _: choose_by_rollout(teacher, n),
        **{f"`{name}`": partial(_chosen, coarse, cost) for name, cost in costs.items()},
    }
    for spacing in ("kl_optimal", "quadratic", "log_snr", "karras", "trailing"):
        choices[f'`spacing="{spacing}"`'] = partial(_spaced, spacing)
    samplers: dict[str, Sampler] = {"DDIM": DDIM(), "2M": DPMSolverPP(order=2)}
    counts = COUNTS[:-1]
    lines = [
        [
            name,
            *(
                f"{off(make(n, sampler), sampler, start, truth):.3f}"
                for sampler in samplers.values()
                for n in counts
            ),
        ]
        for name, make in choices.items()
    ]
    titles = [f"{name}, {n}" for name in samplers for n in counts]
    return str(markdown(["points", *titles], lines))


def _chosen(schedule: Schedule, cost: np.ndarray, n: int, _: Sampler) -> Schedule:
    return choose(schedule, n, cost)


def _spaced(spacing: Any, n: int, _: Sampler) -> Schedule:
    return BASE.subsample(steps=n, spacing=spacing)


def main() -> None:
    """Print the tables, or write them into the page."""
    measured = {"nats": nats, "ends": ends, "distances": distances}
    print_or_write(PAGE, lambda: {name: table() for name, table in measured.items()}, __doc__)


if __name__ == "__main__":
    main()
