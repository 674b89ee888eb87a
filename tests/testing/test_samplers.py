"""Each check of samplers finds the fault that it is for."""

import math
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, LCM, DPMSolverPP, Evaluations, Heun, Plan, Schedule, Steps
from schedalg.testing import (
    check_arrays,
    check_marginals,
    check_order,
    check_recovery,
    check_respacing,
    check_sampler,
    check_scales,
    check_table,
    check_threads,
    check_variance,
)
from tests.registry.references import StepDDIM


class Scaled:
    """A sampler whose table is DPM-Solver++'s, with columns changed by factors."""

    def __init__(self, **factors: float) -> None:
        self.factors = factors

    def plan(self, schedule: Schedule) -> Plan:
        plan = DPMSolverPP(order=2, eta=self.factors.get("eta", 0.0)).plan(schedule)
        a, b, c = (getattr(plan, name) * self.factors.get(name, 1.0) for name in "abc")
        return Plan.of(schedule, a=a, b=b, c=c)


class WrongSubscript:
    """DPM-Solver++ 2M that uses the length of this step in place of the previous one."""

    def plan(self, schedule: Schedule) -> Plan:
        steps = Steps.of(schedule)
        usable = steps.finite & np.append(False, steps.finite[:-1])
        slope = usable * steps.rise * 0.4
        b = np.stack([steps.rise + slope, -slope], axis=1)
        return Plan.of(schedule, a=steps.sigma_s / steps.sigma_t, b=steps.alpha_s[:, None] * b)


class Keeps:
    """DDIM that stores the last prediction on the sampler object."""

    def __init__(self) -> None:
        self.old: Any = None

    def init(self, x: Any, schedule: Schedule) -> None:
        self.old = None

    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any, state: None) -> Any:
        x0 = denoise(x, t)
        mean = x0 if self.old is None else (x0 + self.old) / 2
        self.old = x0
        return s.alpha * mean + s.sigma * (x - t.alpha * mean) / t.sigma, None


class Divides:
    """DDIM in a form that divides by t.alpha, or takes the logarithm of s.sigma."""

    def __init__(self, end: str) -> None:
        self.end = end

    def init(self, x: Any, schedule: Schedule) -> None:
        return None

    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any, state: None) -> Any:
        eps = (x - t.alpha * denoise(x, t)) / t.sigma
        if self.end == "noise":
            return (s.alpha / t.alpha) * (x - t.sigma * eps) + s.sigma * eps, None
        x0 = denoise(x, t)
        return s.alpha * x0 + math.exp(math.log(s.sigma)) * eps, None


class OneScale(DDIM):
    """DDIM that is right only for variance-preserving schedules."""

    def plan(self, schedule: Schedule) -> Plan:
        steps, alpha = Steps.of(schedule), schedule.as_vp().alpha[::-1]
        return Plan.of(schedule, a=steps.sigma_s / steps.sigma_t, b=alpha * steps.rise)


@pytest.mark.parametrize(
    ("check", "sampler"),
    [
        (check_order, WrongSubscript()),
        (check_order, Scaled(b=0.999)),
        (check_threads, Keeps()),
        (check_scales, OneScale()),
    ],
)
def test_faulty_samplers_are_found(check: Any, sampler: Any) -> None:
    with pytest.raises(AssertionError):
        check(sampler, *([2] if check is check_order else []))


def test_wrong_numbers_are_found_where_data_are_a_point() -> None:
    path = Schedule.linear(1000)[::50]
    for factors in ({"a": 1.001}, {"b": 0.999}):
        with pytest.raises(AssertionError):
            check_recovery(Scaled(**factors), path[2:])
    with pytest.raises(AssertionError):
        check_variance(Scaled(eta=1.0, c=1.01))
    with pytest.raises(AssertionError):
        check_marginals(Scaled(eta=1.0, c=1.1))


def test_a_table_that_differs_from_the_steps_is_found() -> None:
    class Two(StepDDIM):
        def plan(self, schedule: Schedule) -> Plan:
            return DDIM(0.5).plan(schedule)

    with pytest.raises(AssertionError, match="table and steps"):
        check_table(Two(), Schedule.linear(10))


def test_a_changing_table_is_found() -> None:
    class Counts:
        calls = 0

        def plan(self, schedule: Schedule) -> Plan:
            self.calls += 1
            return (DDPM() if self.calls % 2 else DDIM()).plan(schedule)

    with pytest.raises(AssertionError):
        check_table(Counts(), Schedule.linear(10))
    with pytest.raises(AssertionError):
        check_sampler(Counts())


def test_a_write_to_x_is_found() -> None:
    class Writes(StepDDIM):
        def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any, state: None) -> Any:
            result = super().step(x, t, s, denoise, noise, state)
            x *= 0.5
            return result

    with pytest.raises(AssertionError, match="wrote to x"):
        check_arrays(Writes(), np.ones((2, 3)))


def test_a_timestep_of_another_noise_level_is_found() -> None:
    class OneOff:
        """DDIM that passes the timestep of the point where the step arrives."""

        def plan(self, schedule: Schedule) -> Plan:
            plan = DDIM().plan(schedule)
            timesteps = np.append(plan.timesteps[1:], plan.timesteps[-1])
            evaluations = Evaluations(timesteps, plan.alpha, plan.sigma)
            return Plan.of(schedule, a=plan.a, b=plan.b, evaluations=evaluations)

    with pytest.raises(AssertionError):
        check_respacing(OneOff())


def test_samplers_of_the_library_pass_as_a_whole() -> None:
    check_sampler(Heun(), order=2)
    check_sampler(DDPM("fixed_small"))
    check_sampler(LCM(), distilled=True)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("noise", r"ZeroDivisionError.*timestep 1.0 that leaves pure noise.*t.alpha is 0.*DDIM"),
        ("clean", r"ValueError.*that arrives at clean data.*s.sigma is 0: return x0"),
    ],
)
def test_an_error_in_a_step_at_an_end_says_which(end: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_sampler(Divides(end))
