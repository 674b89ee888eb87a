"""The registered constructors, each with its definition in 60 digits.

A new schedule or transform is entered in `schedalg.testing.cases`, and its definition here; it
inherits every generic test.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pytest
from mpmath import mpf

from schedalg import Schedule
from schedalg.testing import cases as known
from schedalg.testing.cases import (
    TRANSFORMS,
    cases,
    fall,
    has_signal,
    long_tail,
    mixed_betas,
    random_log_snr,
    random_sigmas,
    random_times,
    zero_end,
)
from tests.registry import oracle

__all__ = ["FAMILIES", "TRANSFORMS", "Family", "cases", "has_signal", "on_every_schedule"]

Test: TypeAlias = Callable[..., None]


class Family(NamedTuple):
    """A constructor with n points, and its definition in 60 digits."""

    make: Callable[[int], Schedule]
    exact: Callable[[int], list[mpf]]


def _exact(values: np.ndarray) -> list[mpf]:
    return [mpf(value) for value in values.tolist()]


EXACT: dict[str, Callable[[int], list[mpf]]] = {
    "linear": oracle.linear,
    "scaled_linear": oracle.scaled_linear,
    "cosine": oracle.cosine,
    "cosine to 1": lambda n: oracle.cosine(n, 0.0, 1.0),
    "sigmoid": oracle.sigmoid,
    "laplace": oracle.laplace,
    "laplace capped": lambda n: oracle.laplace(n, 0.003),
    "exp": oracle.exp,
    "exp capped": lambda n: oracle.exp(n, 0.01),
    "karras": oracle.karras,
    "exponential": oracle.polyexponential,
    "polyexponential": lambda n: oracle.polyexponential(n, rho=2.5),
    "flow": oracle.flow,
    "flow shift": lambda n: oracle.flow(n, 3.0),
    # The function's own rounding is part of the definition, as it is for any caller.
    "from_alpha_bar": lambda n: oracle.from_alpha_bar(lambda t: mpf(fall(float(t))), n),
    "from_betas": lambda n: oracle.from_betas(_exact(mixed_betas(n))),
    "from_betas tiny": lambda n: oracle.from_betas([mpf(1e-12)] * n),
    "from_alphas_cumprod": lambda n: _exact(long_tail(n)),
    "from_alphas_cumprod to 0": lambda n: _exact(zero_end(long_tail(n))),
    "from_sigmas": lambda n: oracle.from_sigmas(_exact(random_sigmas(n))),
    "from_flow_times": lambda n: oracle.from_flow_times(_exact(random_times(n))),
    "from_log_snr": lambda n: oracle.from_log_snr(random_log_snr(n)),
    "from_log_snr flow": lambda n: oracle.from_log_snr(random_log_snr(n)),
}
FAMILIES = {name: Family(make, EXACT[name]) for name, make in known.FAMILIES.items()}


def to_the_last_bit(schedule: Schedule) -> tuple[Schedule, bytes]:
    """Return what two schedules share if nothing tells them apart, digits beyond float64 included.

    Several transforms of a schedule may be that alike: they are tried once.
    """
    return schedule, np.asarray(schedule.log_alpha_bar.low).tobytes()


def on_every_schedule(
    sizes: tuple[int, ...], suits: Callable[[Schedule], object] = lambda schedule: True
) -> Callable[[Test], Test]:
    """Run a test on every schedule of a family, of these sizes, under every transform.

    The test takes a `schedule`, and is one test for each family: to hand out each schedule's by
    itself takes longer than to run it. An error says with which schedule it came.
    """
    schedules: dict[str, dict[Any, tuple[str, Schedule]]] = {}
    for name, schedule in cases(sizes):
        if suits(schedule):
            of_family = schedules.setdefault(name.partition("(")[0], {})
            of_family.setdefault(to_the_last_bit(schedule), (name, schedule))

    def on_families(test: Test) -> Test:
        @pytest.mark.parametrize("family", schedules)
        @wraps(test)
        def on_family(family: str, **others: Any) -> None:
            for name, schedule in schedules[family].values():
                try:
                    test(schedule=schedule, **others)
                except Exception as error:
                    error.add_note(f"with {name}")
                    raise

        parameters = inspect.signature(test).parameters.values()
        others = [p for p in parameters if p.name != "schedule"]
        family = inspect.Parameter("family", inspect.Parameter.KEYWORD_ONLY)
        on_family.__signature__ = inspect.Signature([*others, family])
        return on_family

    return on_families
