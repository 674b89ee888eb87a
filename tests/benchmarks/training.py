"""Time what a training step calls beside the gather that it replaces, and print ratios.

    python -m tests.benchmarks.training

from the root of the repository. Not part of the tests: times are noisy, and only ratios of times
taken in turns mean anything.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from schedalg import Schedule
from tests.benchmarks.timing import Timed, in_turns


def repeated(function: Callable[[], object], calls: int = 50) -> Timed:
    """Return many calls as one."""

    def run() -> None:
        for _ in range(calls):
            function()

    return Timed(run)


def ratio_of_fastest(ours: Callable[[], object], theirs: Callable[[], object]) -> float:
    """Return the ratio of the shortest times, the two taking turns."""
    times = in_turns(repeated(ours), repeated(theirs), rounds=(50, 400), seconds=3)
    fastest = times.min(axis=0)
    return float(fastest[0] / fastest[1])


def main() -> None:
    """Print every ratio."""
    torch.set_num_threads(1)
    schedule = Schedule.linear(1000)
    x0, noise = torch.randn(2, 8, 3, 32, 32)
    k = torch.randint(0, len(schedule), (8,))
    alpha, sigma = (torch.tensor(np.array(c)).float() for c in (schedule.alpha, schedule.sigma))

    def weights() -> tuple[Tensor, Tensor]:
        return alpha[k].view(-1, 1, 1, 1), sigma[k].view(-1, 1, 1, 1)

    def noisy() -> Tensor:
        a, s = weights()
        return a * x0 + s * noise

    def velocity() -> Tensor:
        a, s = weights()
        return a * noise - s * x0

    print("x of 8x3x32x32 in float32, a position a sample, one thread; times / a gather by hand")
    for name, ours, theirs in (
        ("add_noise", lambda: schedule.add_noise(x0, noise, k), noisy),
        ('target "v"', lambda: schedule.target(x0, noise, k, "v"), velocity),
    ):
        print(f"{name}: {ratio_of_fastest(ours, theirs):.2f}")


if __name__ == "__main__":
    main()
