"""Samples of a sampler that may not know what to do at both ends of a schedule."""

from typing import Any

from schedalg.arrays import Array, to_host
from schedalg.plan.plan import Plan
from schedalg.running.sampling import sample
from schedalg.samplers.protocols import Sampler
from schedalg.schedule import Point, Schedule


class _AtEnds:
    """A sampler with `init` and `step`, whose errors in the steps at both ends are explained."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.init = sampler.init

    def step(self, x: Array, t: Point, s: Point, denoise: Any, noise: Any, state: Any) -> Any:
        try:
            return self.sampler.step(x, t, s, denoise, noise, state)
        except (ArithmeticError, ValueError, RuntimeWarning) as error:
            if to_host(t.alpha) == 0:
                case = (
                    "that leaves pure noise, where t.alpha is 0 (zero SNR): have a step of DDIM "
                    "there, s.alpha * x0 + s.sigma / t.sigma * (x - t.alpha * x0)"
                )
            elif to_host(s.sigma) == 0:
                case = "that arrives at clean data, where s.sigma is 0: return x0 there"
            else:
                raise
            raise AssertionError(
                f"{type(error).__name__} ({error}) in the step from timestep {t.timestep} {case}"
            ) from error


def sampled(
    model: Any, schedule: Schedule, sampler: Sampler | Plan, x: Array, **options: Any
) -> Array:
    """Return `sample(...)`, where errors in a sampler's own steps at both ends are explained."""
    if not isinstance(sampler, Plan) and not hasattr(sampler, "plan"):
        sampler = _AtEnds(sampler)
    return sample(model, schedule, sampler, x, **options)
