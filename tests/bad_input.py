"""What the tests of bad input call, and how they check what is said.

Bad input is an error that names the argument, the value, the place and what is allowed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, Denoiser, Schedule, sample

LINEAR = Schedule.linear(10)
KARRAS = Schedule.karras(10)
ZERO_SNR = LINEAR.rescale_zero_terminal_snr()
X = np.ones((2, 3))


def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    return x


def run(
    model: Any = network, schedule: Any = LINEAR, sampler: Any = None, x: Any = X, **kw: Any
) -> Any:
    return sample(model, schedule, DDIM() if sampler is None else sampler, x, **kw)


def check_named(call: Callable[[], Any], error: type[Exception], words: list[str]) -> None:
    """Check that a call raises the error, and that its message holds the words."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    for word in words:
        assert word in message, message


PLAN = DDIM().plan(LINEAR)
TWO = LINEAR[:2]


class Planned:
    """A sampler whose table is what it was given."""

    def __init__(self, plan: Any) -> None:
        self.result = plan

    def plan(self, schedule: Schedule) -> Any:
        return self.result


DENOISER = Denoiser(network, LINEAR)
