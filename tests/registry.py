"""Every constructor and every transform: what the generic tests run over.

A new schedule or transform is entered here, and inherits them all.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from mpmath import mpf

from schedalg import Schedule
from tests import oracle


class Family(NamedTuple):
    """A constructor with n points, and its definition in 60 digits."""

    make: Callable[[int], Schedule]
    exact: Callable[[int], list[mpf]]


def _random(n: int, low: float, high: float) -> np.ndarray:
    return np.random.default_rng(n).uniform(low, high, n)


def _betas(n: int) -> np.ndarray:
    """Return betas from 1e-12 to 0.9, in no order."""
    return 10.0 ** _random(n, -12, -0.05)


def _long_tail(n: int) -> np.ndarray:
    """Return ᾱ that fall to 1e-300."""
    return 10.0 ** -(300 * (np.arange(n) + 1.0) / n)


def _sigmas(n: int) -> np.ndarray:
    return np.sort(10.0 ** _random(n, -6, 6))


def _log_snr(n: int) -> np.ndarray:
    return np.sort(_random(n, -60, 60))[::-1].copy()


def _zero_end(alphas_cumprod: np.ndarray) -> np.ndarray:
    alphas_cumprod[-1] = 0
    return alphas_cumprod


def _exact(values: np.ndarray) -> list[mpf]:
    return [mpf(value) for value in values.tolist()]


def _fall(t: float) -> float:
    return (1 - 0.9 * t) ** 2


FAMILIES: dict[str, Family] = {
    "linear": Family(Schedule.linear, oracle.linear),
    "scaled_linear": Family(Schedule.scaled_linear, oracle.scaled_linear),
    "cosine": Family(Schedule.cosine, oracle.cosine),
    "cosine to 1": Family(
        lambda n: Schedule.cosine(n, s=0.0, max_beta=1.0), lambda n: oracle.cosine(n, 0.0, 1.0)
    ),
    "sigmoid": Family(Schedule.sigmoid, oracle.sigmoid),
    "laplace": Family(Schedule.laplace, oracle.laplace),
    "laplace capped": Family(
        lambda n: Schedule.laplace(n, max_beta=0.003), lambda n: oracle.laplace(n, 0.003)
    ),
    "exp": Family(Schedule.exp, oracle.exp),
    "exp capped": Family(lambda n: Schedule.exp(n, max_beta=0.01), lambda n: oracle.exp(n, 0.01)),
    "karras": Family(Schedule.karras, oracle.karras),
    "exponential": Family(Schedule.exponential, oracle.polyexponential),
    "polyexponential": Family(
        lambda n: Schedule.polyexponential(n, rho=2.5),
        lambda n: oracle.polyexponential(n, rho=2.5),
    ),
    "flow": Family(Schedule.flow, oracle.flow),
    "flow shift": Family(lambda n: Schedule.flow(n, shift=3.0), lambda n: oracle.flow(n, 3.0)),
    "from_alpha_bar": Family(
        lambda n: Schedule.from_alpha_bar(_fall, n),
        # The function's own rounding is part of the definition, as it is for any caller.
        lambda n: oracle.from_alpha_bar(lambda t: mpf(_fall(float(t))), n),
    ),
    "from_betas": Family(
        lambda n: Schedule.from_betas(_betas(n)), lambda n: oracle.from_betas(_exact(_betas(n)))
    ),
    "from_betas tiny": Family(
        lambda n: Schedule.from_betas(np.full(n, 1e-12)),
        lambda n: oracle.from_betas([mpf(1e-12)] * n),
    ),
    "from_alphas_cumprod": Family(
        lambda n: Schedule.from_alphas_cumprod(_long_tail(n)), lambda n: _exact(_long_tail(n))
    ),
    "from_alphas_cumprod to 0": Family(
        lambda n: Schedule.from_alphas_cumprod(_zero_end(_long_tail(n))),
        lambda n: _exact(_zero_end(_long_tail(n))),
    ),
    "from_sigmas": Family(
        lambda n: Schedule.from_sigmas(_sigmas(n)),
        lambda n: oracle.from_sigmas(_exact(_sigmas(n))),
    ),
    "from_log_snr": Family(
        lambda n: Schedule.from_log_snr(_log_snr(n)), lambda n: oracle.from_log_snr(_log_snr(n))
    ),
    "from_log_snr flow": Family(
        lambda n: Schedule.from_log_snr(_log_snr(n), kind="flow"),
        lambda n: oracle.from_log_snr(_log_snr(n)),
    ),
}


class Transform(NamedTuple):
    """An operation, and which schedules it is for."""

    apply: Callable[[Schedule], Schedule]
    suits: Callable[[Schedule], bool] = lambda s: True


def has_signal(s: Schedule) -> bool:
    """Whether the last point is not pure noise."""
    return bool(np.isfinite(s.to_sigmas()[-1]))


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
        lambda s: s.refine(3), lambda s: has_signal(s) or not isinstance(s.labels, np.ndarray)
    ),
    "compose": Transform(
        lambda s: s[: len(s) // 2].as_vp().compose(Schedule.cosine(5).compose(Schedule.cosine(5))),
        lambda s: s.network_kind == "vp",
    ),
}


def cases(sizes: tuple[int, ...]) -> Iterator[tuple[str, Schedule]]:
    """Yield every family, of every size, under every transform that it suits, with its name."""
    for family, (make, _) in FAMILIES.items():
        for n in sizes:
            base = make(n)
            for name, (apply, suits) in TRANSFORMS.items():
                if suits(base):
                    yield f"{family}({n}) {name}", apply(base)
