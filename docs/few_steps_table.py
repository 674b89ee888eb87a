"""Measure the errors of samplers with few steps, and print the tables of docs/few-steps.md.

    python -m docs.few_steps_table            # prints them
    python -m docs.few_steps_table --write    # puts them into docs/few-steps.md

from the root of the repository, with the packages that the tests need, which include diffusers. It
takes about a minute.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from docs.pages import markdown, print_or_write
from schedalg import (
    DDIM,
    DEIS,
    IPNDM,
    LMS,
    PNDM,
    Denoiser,
    DPMSolver,
    DPMSolverPP,
    SASolver,
    Schedule,
    UniPC,
    sample,
)
from schedalg.schedule import Point

PAGE = Path(__file__).with_name("few-steps.md")
COUNTS = (5, 8, 10, 15, 20)
#: Samples of each data set.
BATCH = 64


class Cloud(NamedTuple):
    """A mixture of isotropic Gaussians in any number of dimensions.

    Attributes:
        means: (K, D).
        spreads: (K,), their standard deviations.
        weights: (K,).
    """

    means: np.ndarray
    spreads: np.ndarray
    weights: np.ndarray

    def x0(self, x: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
        """Return E[x0 | x] at a noise level, for x of shape (B, D)."""
        variance = (alpha * self.spreads) ** 2 + sigma**2
        away = x[:, None, :] - alpha * self.means
        logits = np.log(self.weights) - (away**2).sum(axis=2) / (2 * variance)
        logits -= x.shape[1] / 2 * np.log(variance)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        gain = alpha * self.spreads**2 / variance
        ends = self.means + gain[:, None] * away
        return np.asarray((shares[:, :, None] * ends).sum(axis=1))


def even(means: Any, spreads: Any) -> Cloud:
    """Return a mixture of equal weights."""
    count = len(means)
    return Cloud(np.array(means), np.full(count, spreads), np.full(count, 1 / count))


_ANGLES = 2 * np.pi * np.arange(8) / 8
_FAR = np.random.default_rng(0).standard_normal((10, 32))
#: The data, in 1, 1, 2 and 32 dimensions, each of a standard deviation between 0.4 and 0.8.
DATA: Mapping[str, Cloud] = {
    "one Gaussian": even([[0.7]], 0.5),
    "two peaks": Cloud(np.array([[-0.8], [0.5]]), np.array([0.25, 0.4]), np.array([0.4, 0.6])),
    "a ring of eight": even(np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1), 0.15),
    "ten in 32 dimensions": even(0.5 * _FAR, 0.2),
}

_TRAINED = Schedule.scaled_linear(1000)
#: To clean data.
CLEAN: Mapping[str, Callable[[int], Schedule]] = {
    "Karras, sigma 0.002 to 80": lambda n: Schedule.karras(n),
    "Karras, sigma 0.03 to 14.6": lambda n: _TRAINED.subsample(steps=n, spacing="karras"),
    "trailing": lambda n: _TRAINED.subsample(steps=n, spacing="trailing"),
    "log-SNR": lambda n: _TRAINED.subsample(steps=n, spacing="log_snr"),
    "flow": lambda n: Schedule.flow(n),
    "flow, shift 3": lambda n: Schedule.flow(n, shift=3.0),
}
#: To noise: the least of the network's training, and that in the middle of a path.
NOISY: Mapping[str, Callable[[int], Schedule]] = {
    "trailing, to sigma 0.03": lambda n: _TRAINED.subsample(
        timesteps=[0, *np.round(np.arange(1, n + 1) * 999 / n).astype(int).tolist()]
    )[1:],
    "Karras, to sigma 0.002": lambda n: Schedule.karras(n + 1)[1:],
    "Karras, the first half of twice as many steps": lambda n: Schedule.karras(2 * n)[n:],
    "flow, the first half of twice as many steps": lambda n: Schedule.flow(2 * n)[n:],
}
GRIDS = {**CLEAN, **NOISY}

#: The samplers of the tables, with the options that are not defaults.
OURS: Mapping[str, Any] = {
    "DDIM()": DDIM(),
    "DPMSolver(2)": DPMSolver(2),
    "DPMSolver()": DPMSolver(),
    "DPMSolver(lower_order_final=True)": DPMSolver(lower_order_final=True),
    "DPMSolverPP()": DPMSolverPP(),
    "DPMSolverPP(lower_order_final=True)": DPMSolverPP(lower_order_final=True),
    "DPMSolverPP(3)": DPMSolverPP(3),
    "DPMSolverPP(3, lower_order_final=True)": DPMSolverPP(3, lower_order_final=True),
    "DPMSolverPP(3, exact=True)": DPMSolverPP(3, exact=True),
    "UniPC()": UniPC(),
    "UniPC(lower_order_final=True)": UniPC(lower_order_final=True),
    "UniPC(correct_from_noise=False)": UniPC(correct_from_noise=False),
    'UniPC(variant="bh1")': UniPC(variant="bh1"),
    "UniPC(3)": UniPC(3),
    "UniPC(3, lower_order_final=True)": UniPC(3, lower_order_final=True),
    "UniPC(3, correct_from_noise=False)": UniPC(3, correct_from_noise=False),
    "SASolver(tau=0)": SASolver(tau=0.0),
    "DEIS(2)": DEIS(2),
    "DEIS()": DEIS(),
    "DEIS(lower_order_final=True)": DEIS(lower_order_final=True),
    "DEIS(4)": DEIS(4),
    "LMS(2)": LMS(2),
    "LMS(3)": LMS(3),
    "LMS()": LMS(),
    "LMS(full_start=True)": LMS(full_start=True),
    "IPNDM(2)": IPNDM(2),
    "IPNDM()": IPNDM(),
    "IPNDM(4)": IPNDM(4),
    "PNDM()": PNDM(),
}

#: Scheduler classes of diffusers, with the options that are not defaults. (Its DEIS cannot arrive
#: at clean data.)
THEIRS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "diffusers, DPM++ 2M": ("DPMSolverMultistepScheduler", {}),
    "diffusers, DPM++ 3M": ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    "diffusers, UniPC 2": ("UniPCMultistepScheduler", {}),
    "diffusers, UniPC 3": ("UniPCMultistepScheduler", {"solver_order": 3}),
    "diffusers, DEIS 2": ("DEISMultistepScheduler", {}),
    "diffusers, DEIS 3": ("DEISMultistepScheduler", {"solver_order": 3}),
}


def noise(cloud: Cloud) -> np.ndarray:
    """Return standard normal draws, the same for every sampler."""
    return np.random.default_rng(1).standard_normal((BATCH, cloud.means.shape[1]))


def denoiser(cloud: Cloud, schedule: Schedule) -> Any:
    """Return the optimal network."""

    def x0(x: np.ndarray, t: Point) -> np.ndarray:
        return cloud.x0(x, t.alpha, t.sigma)

    return Denoiser.from_function(x0, schedule)


def reference(cloud: Cloud, schedule: Schedule) -> np.ndarray:
    """Return the end of the flow from a schedule's last point, by 1,000 steps of UniPC."""
    start, end = schedule[-1].log_snr, min(schedule.origin.log_snr, 24.0)
    from_noise = np.isinf(start)
    log_snr = np.linspace(end, 2 * np.log(1e-5) if from_noise else start, 1001)
    if from_noise:
        log_snr = np.append(log_snr, -np.inf)
    fine = Schedule.from_log_snr(log_snr, kind=schedule.kind)
    fine = fine if schedule.origin.sigma == 0 else fine[1:]
    x = noise(cloud) * schedule.prior_std
    return np.asarray(sample(denoiser(cloud, fine), fine, UniPC(3), x))


def distance(x: np.ndarray, exact: np.ndarray) -> float:
    """Return the error of x, relative to the size of the exact result."""
    return float(np.sqrt(((x - exact) ** 2).mean() / (exact**2).mean()))


def ours(sampler: Any, cloud: Cloud, schedule: Schedule) -> np.ndarray:
    """Return the samples of a sampler of this library."""
    x = noise(cloud) * schedule.prior_std
    return np.asarray(sample(denoiser(cloud, schedule), schedule, sampler, x))


def theirs(name: str, options: Mapping[str, Any], cloud: Cloud, schedule: Schedule) -> np.ndarray:
    """Return the samples of a scheduler of diffusers on the noise levels of a schedule.

    They are set in place of its own. On a flow from t = 1, it starts at 1 - 1e-6, as its UniPC
    does.
    """
    import diffusers
    import torch

    flow = schedule.kind == "flow"
    if not name.startswith("DEIS"):
        last = "zero" if schedule.origin.sigma == 0 else "sigma_min"
        options = {"final_sigmas_type": last, **options}
    scheduler = getattr(diffusers, name)(prediction_type="sample", use_flow_sigmas=flow, **options)
    points = [*list(schedule)[::-1], schedule.origin]
    sigmas = [p.sigma if flow else p.sigma / p.alpha for p in points]
    if sigmas[0] == 1 and flow:
        sigmas[0] = 1 - 1e-6
    steps = len(schedule)
    scheduler.set_timesteps(steps)
    scheduler.sigmas = torch.tensor(sigmas, dtype=torch.float64)
    scheduler.timesteps = torch.arange(steps, 0, -1)
    scheduler.num_inference_steps = steps
    scheduler.set_begin_index(0)
    scale = 1.0 if flow else schedule.as_vp().prior_std
    x = torch.tensor(noise(cloud) * scale)
    for k, t in enumerate(scheduler.timesteps):
        rho = sigmas[k]
        alpha, sigma = (1 - rho, rho) if flow else (1 / np.hypot(1, rho), rho / np.hypot(1, rho))
        x0 = torch.tensor(cloud.x0(x.numpy(), alpha, sigma))
        x = scheduler.step(x0, t, x, return_dict=False)[0].to(torch.float64)
    end = schedule.origin
    return np.asarray(x) * (1.0 if flow else np.hypot(end.alpha, end.sigma))


def errors(run: Callable[[Cloud, Schedule], np.ndarray], grid: str) -> list[float]:
    """Return the geometric mean over all data of a sampler's errors, for each number of steps."""
    result = []
    for steps in COUNTS:
        schedule = GRIDS[grid](steps)
        logs = [np.log(distance(run(c, schedule), exact(c, schedule))) for c in DATA.values()]
        result.append(float(np.exp(np.mean(logs))))
    return result


_EXACT: dict[Any, np.ndarray] = {}


def exact(cloud: Cloud, schedule: Schedule) -> np.ndarray:
    """Return `reference`, computed once."""
    key = id(cloud), schedule.kind, schedule[-1].log_snr, schedule.origin.log_snr
    if key not in _EXACT:
        _EXACT[key] = reference(cloud, schedule)
    return _EXACT[key]


def section(title: str, measured: Mapping[str, list[float]]) -> str:
    """Return a table of errors, with a title."""
    lines = [
        [f"`{name}`" if name in OURS else name, *(f"{value:.2g}" for value in values)]
        for name, values in measured.items()
    ]
    table = markdown(["sampler", *map(str, COUNTS)], lines)
    return f"## {title}\n\n{table}\n"


def mean(tables: Sequence[Mapping[str, list[float]]]) -> dict[str, list[float]]:
    """Return the geometric mean of tables."""
    names = [name for name in tables[0] if all(name in table for table in tables)]
    logs = {name: np.log([table[name] for table in tables]).mean(axis=0) for name in names}
    return {name: np.exp(log).tolist() for name, log in logs.items()}


def tables() -> str:
    """Return all tables, as Markdown."""
    measured: dict[str, dict[str, list[float]]] = {}
    for grid in GRIDS:
        found = {name: errors(partial(ours, sampler), grid) for name, sampler in OURS.items()}
        for name, (kind, options) in THEIRS.items():
            if grid in NOISY or not kind.startswith("DEIS"):
                found[name] = errors(partial(theirs, kind, options), grid)
        measured[grid] = found
    everywhere = mean([measured[grid] for grid in CLEAN])
    parts = [section("All six grids to clean data, geometric mean", everywhere)]
    parts += [section(f"{grid[0].upper()}{grid[1:]}", found) for grid, found in measured.items()]
    return "\n" + "".join(parts)


def main() -> None:
    """Print the tables, or write them into the page."""
    print_or_write(PAGE, lambda: {"": tables()}, __doc__)


if __name__ == "__main__":
    main()
