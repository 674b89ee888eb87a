"""Checks of samplers; each raises an AssertionError with what it found."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from schedalg.arrays import Array, namespace, to_host
from schedalg.network.denoiser import AnyDenoiser, Denoiser
from schedalg.plan.plan import Plan
from schedalg.running.sampling import sample_steps
from schedalg.samplers.protocols import Sampler, TableSampler
from schedalg.schedule import Point, Schedule
from schedalg.testing.data import Mixture
from schedalg.testing.ends import sampled
from schedalg.testing.measures import GAUSSIAN, measured_order, variance_after

#: Twelve steps from log-SNR -10 to 10, where the origin still has noise.
PATH = Schedule.from_log_snr(np.linspace(10, -10, 13))[1:]
FAST = Schedule.linear(1000).subsample(steps=12)


def check_sampler(sampler: Sampler, *, order: int | None = None, distilled: bool = False) -> None:
    """Run the checks that every sampler should pass, all of this module except `check_variance`.

    Args:
        sampler: A sampler with a table, or with the methods `init` and `step`.
        order: The order of a sampler without noise. None: the order is not measured.
        distilled: Whether it is for distilled networks; see `check_marginals`.

    Raises:
        AssertionError: A check failed.

    Example:
        >>> from schedalg import DPMSolverPP
        >>> from schedalg.testing import check_sampler
        >>> check_sampler(DPMSolverPP(order=2), order=2)
    """
    x = np.random.default_rng(3).standard_normal((4, 2, 3))
    for schedule in (FAST, PATH, Schedule.karras(12), Schedule.flow(12)):
        check_recovery(sampler, schedule)
    check_arrays(sampler, x)
    check_arrays(sampler, x.astype(np.float32))
    check_marginals(sampler, distilled=distilled)
    check_respacing(sampler)
    check_scales(sampler)
    check_threads(sampler)
    table: Any = sampler
    if hasattr(sampler, "plan"):
        check_table(table, FAST)
    if order is not None:
        check_order(sampler, order)


def check_order(
    sampler: Sampler, order: int, data: Mixture = GAUSSIAN, *, within: float = 0.15, **how: Any
) -> None:
    """Check that a sampler without noise converges with its declared order; see `measured_order`.

    Example:
        >>> from schedalg import Heun
        >>> from schedalg.testing import check_order
        >>> check_order(Heun(), 2)
    """
    measured = measured_order(sampler, data, **how)
    assert abs(measured - order) <= within, f"order {measured:.2f}, but {order} is declared"


def check_recovery(sampler: Sampler | Plan, schedule: Schedule, rtol: float = 1e-9) -> None:
    """Check that the sampler returns the data if these are a single point.

    With a clean origin, the result must be that point for any x at the start. With a noisy origin
    and noise of 0, it must be alpha times the point if x starts as alpha times the point.

    Example:
        >>> from schedalg import LMS, Schedule
        >>> from schedalg.testing import check_recovery
        >>> check_recovery(LMS(), Schedule.cosine(20))
    """
    point, origin = 0.3, schedule.origin
    known = _point(point, sampler, schedule)
    noise: Any = np.random.default_rng(0)
    x = noise.standard_normal((2, 3)) * schedule.prior_std
    if origin.sigma > 0:
        x, noise = np.full((2, 3), point * schedule[-1].alpha), np.zeros_like
    result = sampled(known, schedule, sampler, x, noise=noise)
    np.testing.assert_allclose(
        result, origin.alpha * point, rtol=rtol, err_msg=f"x0 on {schedule!r}"
    )


def _point(point: float, sampler: Sampler | Plan, schedule: Schedule) -> AnyDenoiser:
    """Return the optimal network for data that are a single point, as a denoiser.

    A sampler that calls a network of flow matching at clean data needs its slope there, which is
    that of the path before: (x - alpha x0) / sigma - x0 does not change on the way to one point.
    """
    plan = sampler if isinstance(sampler, Plan) else None
    if plan is None and hasattr(sampler, "plan"):
        plan = sampler.plan(schedule)
    if plan is None or (to_host(plan.sigma) > 0).all():
        return Denoiser.from_function(lambda x, t: point + 0 * x, schedule)
    total = plan.alpha + plan.sigma
    places = iter(zip(plan.alpha / total, plan.sigma / total, strict=True))
    slope: Any = None

    def velocity(x: Array, timesteps: Array) -> Array:
        nonlocal slope
        alpha, sigma = next(places)
        if sigma > 0:
            slope = (x - alpha * point) / sigma - point
        return slope

    return Denoiser(velocity, schedule, "flow")


def check_variance(sampler: Sampler | Plan, schedule: Schedule = PATH, rtol: float = 1e-9) -> None:
    """Check that x has the variance sigma² at the origin if the data are a single point.

    This holds for every method that is exact for a constant x0, which is all but DDPM's
    "fixed_large".

    Args:
        sampler: Any sampler, or a plan.
        schedule: A schedule with a noisy origin.
        rtol: Tolerance of the variance.

    Example:
        >>> from schedalg import EulerAncestral
        >>> from schedalg.testing import check_variance
        >>> check_variance(EulerAncestral())
    """
    denoise = Mixture([0.0], [0.0]).denoiser(schedule)
    start = float(to_host(schedule.sigma)[-1]) ** 2
    variance = variance_after(sampler, schedule, denoise, start)
    np.testing.assert_allclose(
        variance, schedule.origin.sigma**2, rtol=rtol, err_msg=f"variance on {schedule!r}"
    )


def check_marginals(sampler: Sampler, *, distilled: bool = False) -> None:
    """Check that the variance for Gaussian data converges to the right one as steps grow.

    Args:
        sampler: Any sampler.
        distilled: Whether it is for networks that predict the end of the flow rather than E[x0 |
            x].

    Example:
        >>> from schedalg import DDPM
        >>> from schedalg.testing import check_marginals
        >>> check_marginals(DDPM())
    """
    data = Mixture([0.0], [0.5])
    errors = []
    for steps in (100, 200, 400):
        schedule = Schedule.from_log_snr(np.linspace(9, -9, steps + 1))[1:]
        start, end = (data.marginal_std(p) ** 2 for p in (schedule[-1], schedule.origin))
        denoise = data.end_of_flow(schedule) if distilled else data.denoiser(schedule)
        variance = variance_after(sampler, schedule, denoise, start)
        errors.append(abs(variance / end - 1))
    assert errors[-1] < 0.05, f"relative errors of the variance: {errors}"
    for before, after in pairwise(errors):
        assert after < max(0.6 * before, 1e-9), f"relative errors of the variance: {errors}"


def check_arrays(sampler: Sampler, x: Array, tolerance: float = 1e-3) -> None:
    """Check that the result has the library, dtype and shape of x, and NumPy's values.

    Args:
        sampler: Any sampler.
        x: (B, ...), an array of the library to check, in float32 or float64.
        tolerance: Largest difference from NumPy in float64, if x has lower precision.

    Example:
        >>> import numpy as np
        >>> from schedalg import UniPC
        >>> from schedalg.testing import check_arrays
        >>> check_arrays(UniPC(), np.ones((2, 3), dtype=np.float32))
    """

    def network(x: Array, timesteps: Array) -> Array:
        return 0.5 * x - 0.1 * x**3 / (1 + x**2)

    before = np.array(to_host(x))
    expected = sampled(network, FAST, sampler, to_host(x).astype(np.float64), noise=5, clip=(-2, 2))
    for prediction in ("epsilon", "x0", "v"):
        result = sampled(network, FAST, sampler, x, noise=5, prediction=prediction)
        assert namespace(result) is namespace(x), f"{type(result)} from {type(x)}"
        for part in ("dtype", "shape"):
            got, given = getattr(result, part), getattr(x, part)
            assert got == given, f"{part} {got} from {given}, for a prediction of {prediction}"
    result = to_host(sampled(network, FAST, sampler, x, noise=5, clip=(-2, 2)))
    rtol = 1e-11 if "64" in str(x.dtype) else tolerance
    np.testing.assert_array_equal(to_host(x), before, err_msg="the sampler wrote to x")
    np.testing.assert_allclose(result, expected, rtol=rtol, atol=rtol)


def check_respacing(sampler: Sampler) -> None:
    """Check that on a respaced schedule the network gets the timestep of each noise level.

    And that the schedule is as good as a new one: made from ᾱ at the selected points,
    if the sampler calls the network at these alone; else selected from one of the base's ᾱ.

    Example:
        >>> from schedalg import DEIS
        >>> from schedalg.testing import check_respacing
        >>> check_respacing(DEIS())
    """
    selected = [0, 3, 7, 50, 51, 300, 640, 999]
    base = Schedule.linear(1000)
    short = base.subsample(indices=selected)
    numbers = base.to_alphas_cumprod()
    passed: list[list[float]] = []

    def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        passed[-1].append(float(timesteps[0]))
        return np.asarray(np.sin(3 * x) + 0.001 * timesteps[:, None])

    x = np.random.default_rng(1).standard_normal((2, 3))
    passed.append([])
    images = [sampled(network, short, sampler, x, noise=7)]
    if set(passed[0]) <= set(selected):
        fresh = Schedule.from_alphas_cumprod(numbers[selected], timesteps=selected)
    else:
        fresh = Schedule.from_alphas_cumprod(numbers)[selected]
    passed.append([])
    images.append(sampled(network, fresh, sampler, x, noise=7))
    np.testing.assert_allclose(images[1], images[0], rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(passed[1], passed[0], rtol=1e-9, err_msg="timesteps passed")
    visited: list[Point] = []

    def expectation(x: np.ndarray, t: Point) -> np.ndarray:
        visited.append(t)
        return 0.3 * x

    sampled(Denoiser.from_function(expectation, short), short, sampler, x, noise=7)
    for t in visited:
        assert t.timestep is not None
        assert selected[0] <= t.timestep <= selected[-1], f"timestep {t.timestep} of {selected}"
        beyond = not short[0].log_snr + 1e-9 >= t.log_snr >= short[-1].log_snr - 1e-9
        if not beyond:
            trained = base.at(t.timestep)
            np.testing.assert_allclose(
                (t.alpha, t.sigma), (trained.alpha, trained.sigma), rtol=1e-9, err_msg=str(t)
            )


def check_scales(sampler: Sampler) -> None:
    """Check that the sample does not depend on the scale of x: vp, ve or flow.

    Example:
        >>> from schedalg import Heun
        >>> from schedalg.testing import check_scales
        >>> check_scales(Heun(s_churn=2.0, s_tmax=1.0))
    """

    def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return np.asarray(np.tanh(x) * np.cos(timesteps[:, None]))

    for base in (Schedule.linear(100), Schedule.karras(100), Schedule.flow(100)):
        schedule = base[:99].subsample(steps=12)
        x = np.random.default_rng(0).standard_normal((3, 5)) * schedule.prior_std
        images = []
        for other in (schedule.as_vp(), schedule.as_ve(), schedule.as_flow()):
            scaled = x * (other.sigma[-1] / schedule.sigma[-1])
            images.append(sampled(network, other, sampler, scaled, prediction="v", noise=3))
        for image in images[1:]:
            np.testing.assert_allclose(image, images[0], rtol=1e-8, atol=1e-8, err_msg=repr(base))


def check_threads(sampler: Sampler) -> None:
    """Check that concurrent runs of one sampler do not affect each other: in turns and in threads.

    Example:
        >>> from schedalg import PNDM
        >>> from schedalg.testing import check_threads
        >>> check_threads(PNDM())
    """
    x = np.random.default_rng(3).standard_normal((4, 3))

    def walk(seed: int) -> Iterator[np.ndarray]:
        return sample_steps(lambda x, t: np.sin(x), FAST, sampler, x + seed, noise=seed)

    def image(seed: int) -> np.ndarray:
        return list(walk(seed))[-1]

    expected = [image(seed) for seed in range(8)]
    # One step of each in turn: state on the sampler object would leak from one to the others.
    for steps in zip(*map(walk, range(8)), strict=True):
        together = steps
    with ThreadPoolExecutor(8) as pool:
        threads = list(pool.map(image, range(8)))
    for one, turn, thread in zip(expected, together, threads, strict=True):
        np.testing.assert_array_equal(turn, one, err_msg="runs that take turns")
        np.testing.assert_array_equal(thread, one, err_msg="runs in threads")


def check_table(sampler: TableSampler, schedule: Schedule) -> None:
    """Check that a plan is a value, and agrees with the sampler's own `step` if it has one.

    Example:
        >>> from schedalg import DDIM, Schedule
        >>> from schedalg.testing import check_table
        >>> check_table(DDIM(), Schedule.cosine(10))
    """
    plan = sampler.plan(schedule)
    assert plan == sampler.plan(schedule), "the same sampler and schedule make different plans"
    assert hash(plan) == hash(sampler.plan(schedule))
    assert Plan.from_dict(plan.to_dict()) == plan, "to_dict and from_dict"
    assert plan.model_calls == len(plan) == len(str(plan).splitlines()) - 2
    if not hasattr(sampler, "step"):
        return
    protocol = _Steps(sampler)
    x = np.random.default_rng(3).standard_normal((4, 3))
    signal = float(to_host(schedule.alpha)[-1]) > 0
    for prediction in ("epsilon", "x0", "v") if signal else ("x0", "v"):
        images = [
            # Divided by 99, since at sigma = 80 a steeper network would amplify rounding errors.
            sampled(lambda x, t: np.sin(x / 99), schedule, one, x, prediction=prediction, noise=3)
            for one in (sampler, protocol)
        ]
        np.testing.assert_allclose(
            images[1], images[0], rtol=1e-10, atol=1e-10, err_msg="table and steps"
        )


class _Steps:
    """The `init` and `step` of a sampler, without its `plan`."""

    def __init__(self, sampler: Any) -> None:
        self.init = sampler.init
        self.step = sampler.step
