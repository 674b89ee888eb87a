"""Every constructor and every transform by name, for generic tests."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from schedalg.schedule import Schedule


def _random(n: int, low: float, high: float) -> np.ndarray:
    return np.random.default_rng(n).uniform(low, high, n)


def mixed_betas(n: int) -> np.ndarray:
    """Return betas from 1e-12 to 0.9 in random order."""
    return 10.0 ** _random(n, -12, -0.05)


def long_tail(n: int) -> np.ndarray:
    """Return values of ᾱ that fall to 1e-300."""
    return 10.0 ** -(300 * (np.arange(n) + 1.0) / n)


def random_sigmas(n: int) -> np.ndarray:
    """Return random noise levels from 1e-6 to 1e6, rising."""
    return np.sort(10.0 ** _random(n, -6, 6))


def random_times(n: int) -> np.ndarray:
    """Return times of a flow from 1e-6 to 1, at random."""
    return np.sort(np.append(_random(n - 1, 1e-6, 1), 1.0))


def random_log_snr(n: int) -> np.ndarray:
    """Return random log-SNRs from 60 to -60, falling."""
    return np.sort(_random(n, -60, 60))[::-1].copy()


def zero_end(alphas_cumprod: np.ndarray) -> np.ndarray:
    """Set the last ᾱ to 0, and return the array."""
    alphas_cumprod[-1] = 0
    return alphas_cumprod


def fall(t: float) -> float:
    """Return ᾱ at time t in [0, 1]."""
    return (1 - 0.9 * t) ** 2


#: From names to functions that make a schedule of n points.
FAMILIES: dict[str, Callable[[int], Schedule]] = {
    "linear": Schedule.linear,
    "scaled_linear": Schedule.scaled_linear,
    "cosine": Schedule.cosine,
    "cosine to 1": lambda n: Schedule.cosine(n, s=0.0, max_beta=1.0),
    "sigmoid": Schedule.sigmoid,
    "laplace": Schedule.laplace,
    "laplace capped": lambda n: Schedule.laplace(n, max_beta=0.003),
    "exp": Schedule.exp,
    "exp capped": lambda n: Schedule.exp(n, max_beta=0.01),
    "karras": Schedule.karras,
    "exponential": Schedule.exponential,
    "polyexponential": lambda n: Schedule.polyexponential(n, rho=2.5),
    "flow": Schedule.flow,
    "flow shift": lambda n: Schedule.flow(n, shift=3.0),
    "from_alpha_bar": lambda n: Schedule.from_alpha_bar(fall, n),
    "from_betas": lambda n: Schedule.from_betas(mixed_betas(n)),
    "from_betas tiny": lambda n: Schedule.from_betas(np.full(n, 1e-12)),
    "from_alphas_cumprod": lambda n: Schedule.from_alphas_cumprod(long_tail(n)),
    "from_alphas_cumprod to 0": lambda n: Schedule.from_alphas_cumprod(zero_end(long_tail(n))),
    "from_sigmas": lambda n: Schedule.from_sigmas(random_sigmas(n)),
    "from_flow_times": lambda n: Schedule.from_flow_times(random_times(n)),
    "from_log_snr": lambda n: Schedule.from_log_snr(random_log_snr(n)),
    "from_log_snr flow": lambda n: Schedule.from_log_snr(random_log_snr(n), kind="flow"),
}


class Transform(NamedTuple):
    """A transform, and a test of whether it applies to a schedule."""

    apply: Callable[[Schedule], Schedule]
    suits: Callable[[Schedule], bool] = lambda s: True


def has_signal(s: Schedule) -> bool:
    """Return whether the last point has signal, so that its sigma/alpha is finite."""
    return bool(np.isfinite(s.to_sigmas()[-1]))


#: From names to transforms of any of these schedules.
TRANSFORMS: dict[str, Transform] = {
    "none": Transform(lambda s: s),
    "every": Transform(lambda s: s.subsample(every=min(3, len(s)))),
    "trailing": Transform(lambda s: s.subsample(steps=(len(s) + 1) // 2, spacing="trailing")),
    "linspace": Transform(lambda s: s.subsample(steps=(len(s) + 1) // 2, spacing="linspace")),
    "quadratic": Transform(lambda s: s.subsample(steps=(len(s) + 1) // 2, spacing="quadratic")),
    "sections": Transform(lambda s: s.subsample(sections=[(len(s) + 1) // 2])),
    "log_snr": Transform(
        lambda s: s.subsample(steps=7, spacing="log_snr"), lambda s: has_signal(s) and len(s) > 1
    ),
    "karras": Transform(
        lambda s: s.subsample(steps=7, spacing="karras"), lambda s: has_signal(s) and len(s) > 1
    ),
    "tail": Transform(lambda s: s[len(s) // 2 :]),
    "shift": Transform(lambda s: s.shift(3.0)),
    "shift back": Transform(lambda s: s.shift(0.25)),
    "zero SNR": Transform(
        lambda s: s.as_vp().rescale_zero_terminal_snr(),
        lambda s: len(s) > 1 and s.network_kind != "ve",
    ),
    "shift of the tail": Transform(lambda s: s[len(s) // 2 :].shift(0.01)),
    "as_vp": Transform(lambda s: s.as_vp()),
    "as_ve": Transform(lambda s: s.as_ve(), has_signal),
    "as_flow": Transform(lambda s: s.as_flow()),
    "refine": Transform(
        lambda s: s.refine(3),
        lambda s: has_signal(s) or not isinstance(s.timestep_rule, np.ndarray),
    ),
    "compose": Transform(
        lambda s: s[: len(s) // 2].as_vp().compose(Schedule.cosine(5).compose(Schedule.cosine(5))),
        lambda s: s.network_kind == "vp",
    ),
}


def cases(sizes: tuple[int, ...]) -> Iterator[tuple[str, Schedule]]:
    """Yield (name, schedule) for every family and size and every transform that applies to it."""
    for family, make in FAMILIES.items():
        for n in sizes:
            base = make(n)
            for name, (apply, suits) in TRANSFORMS.items():
                if suits(base):
                    yield f"{family}({n}) {name}", apply(base)
