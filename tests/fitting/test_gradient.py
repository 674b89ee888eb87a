"""`tune` by the network's own gradient: that it is right, and what is found by it."""

from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    Denoiser,
    DPMSolverPP,
    Plan,
    Schedule,
    Trajectories,
    run,
    trajectories,
    tune,
)
from schedalg.arrays import namespace
from schedalg.fitting.family import Family
from schedalg.fitting.samples import Split
from schedalg.fitting.tuning import _Search
from tests.bad_input import check_named
from tests.fitting.mixture import BASE
from tests.fitting.test_tuning import FEW, SCHEDULES
from tests.libraries import INSTALLED, Library, _use

X = np.random.default_rng(0).standard_normal((8, 3))
FOLLOWED = [library for library in INSTALLED if library.name in ("torch", "jax64")]


@pytest.fixture(params=FOLLOWED, ids=lambda library: library.name)
def lib(request: pytest.FixtureRequest) -> Any:
    with _use(request.param) as library:
        yield library


def network(x: Any, timesteps: Any) -> Any:
    """Return what depends on x and on the timestep, in torch, in JAX and in NumPy."""
    xp = namespace(x)
    times = xp.reshape(xp.astype(timesteps, x.dtype), (-1, 1))
    return 0.6 * xp.tanh(x) * xp.cos(times / 400) + 0.2 * xp.sin(2 * x)


def searched(schedule: Schedule, x: Any, like: Any, prediction: Any, moving: bool) -> Any:
    """Return a search whose numbers are not those of its start, and these."""
    plan = DDIM().plan(schedule)
    family = Family.of(plan, min(3, len(plan)), moving)
    denoise = Denoiser(network, schedule, prediction)
    made = Trajectories(schedule, [x] * len(schedule) + [like], denoise)
    start = family.start(plan)
    step = 0.05 * np.random.default_rng(1).standard_normal(len(start))
    return _Search(family, made, Split.of(x, 1), gradient=True), family.after(start, step)


TOLD = {
    "told a function of the noise": Schedule.from_log_snr(
        [4.0, 1.0, -4.0], timesteps=lambda alpha, sigma: 100 * sigma
    ),
    "told log sigma": Schedule.from_log_snr([4.0, 1.0, -4.0], timesteps="log_sigma/4"),
}


#: JAX compiles every operation, and what differs from schedule to schedule is NumPy's.
FEW_NAMES = ["ve", "told log sigma"]
PAIRS = [
    pytest.param(lib, name, id=f"{lib.name}-{name}")
    for lib in FOLLOWED
    for name in ([*SCHEDULES, *TOLD] if lib.name == "torch" else FEW_NAMES)
]


@pytest.mark.parametrize(("lib", "name"), PAIRS, indirect=["lib"])
def test_the_gradient_is_that_of_finite_differences(lib: Library, name: str) -> None:
    prediction = "v" if name in FEW_NAMES else "x0"
    schedule = {**SCHEDULES, **TOLD}[name]
    x = lib.array(X * float(schedule.prior_std))
    for moving in (True, False):
        search, numbers = searched(schedule, x, lib.array(X), prediction, moving)
        gradient = search.gradient_at(numbers, search.walk(search.family.plan(numbers)))
        for i in range(len(numbers)):
            h = 1e-5 * np.eye(len(numbers))[i]
            high, low = (
                search.loss(search.walk(search.family.plan(numbers + sign * h))) for sign in (1, -1)
            )
            assert abs(gradient[i] - (high - low) / 2e-5) < 1e-6 * max(1, abs(gradient).max())


def test_a_linear_model_is_brought_to_the_optimum(lib: Library) -> None:
    """Of two steps of DDIM on Gaussian data, one number is free: the loss is quadratic in it."""
    schedule, variances = BASE[[299, 999]], np.array([1.0, 0.3, 0.05])

    def perfect(x: Any, t: Any) -> Any:
        v = namespace(x).asarray(variances, dtype=x.dtype)
        return t.alpha * v / (t.alpha**2 * v + t.sigma**2) * x

    x = lib.array(X)
    denoise = Denoiser.from_function(perfect, schedule)
    (s, t), plan = list(schedule), DDIM().plan(schedule)
    gain_t, gain_s = (p.alpha * variances / (p.alpha**2 * variances + p.sigma**2) for p in (t, s))
    exact = X * np.sqrt(variances / (t.alpha**2 * variances + t.sigma**2))
    made = Trajectories(schedule, [x, x, lib.array(exact)], denoise)
    tuned = tune(plan, made, noise_levels=False, gradient=True)
    # x0 of the second call is `still` and rho times `turned`, for the six samples that are fitted.
    still = (gain_s * s.alpha * gain_t * X)[:6]
    turned = (gain_s * s.sigma / t.sigma * (1 - t.alpha * gain_t) * X)[:6]
    best = np.vdot(turned, exact[:6] - still) / np.vdot(turned, turned)
    np.testing.assert_allclose(tuned.a[0] * t.sigma / s.sigma, best, rtol=1e-6)


def test_the_loss_falls_from_step_to_step() -> None:
    torch = pytest.importorskip("torch")
    search, numbers = searched(FEW, torch.tensor(X), torch.tensor(X), "x0", True)
    walk = search.walk(search.family.plan(numbers))
    losses = [search.loss(walk)]
    for _, (_, found) in zip(range(8), search.by_gradient(numbers, walk), strict=False):
        losses.append(search.loss(found))
    assert len(losses) == 9
    assert (np.diff(losses) < 0).all()


def test_what_is_found_by_gradient_is_better_and_numpy_runs_it() -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(3).standard_normal((16, 8))
    teacher = DPMSolverPP().plan(BASE[[*range(99, 1000, 100)]])
    few = BASE[[199, 599, 999]]
    states = trajectories(network, few, x, teacher, prediction="x0").states
    in_torch = Trajectories(few, [*map(torch.tensor, states)], Denoiser(network, few, "x0"))
    new = np.random.default_rng(1).standard_normal((32, 8))
    exact = run(teacher, network, new, prediction="x0")

    def error(plan: Plan) -> float:
        return float(np.sqrt(np.mean((run(plan, network, new, prediction="x0") - exact) ** 2)))

    start = DPMSolverPP().plan(few)
    tuned = tune(start, in_torch, memories=3, gradient=True, rounds=2)
    assert error(tuned) < error(start) / 5
    assert tuned.schedule != few
    held = slice(12, None)
    before, after = (
        np.mean((run(each, network, x, prediction="x0") - states[-1])[held] ** 2)
        for each in (start, tuned)
    )
    assert after < before


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_low_precision_is_no_hindrance(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    few, teacher = BASE[[299, 999]], DDIM().plan(BASE[[*range(99, 1000, 100)]])
    end = run(teacher, network, X, prediction="x0")
    # In NumPy, since torch compiles its loop anew for each dtype.
    states = [torch.tensor(state).to(getattr(torch, dtype)) for state in (X, X, end)]
    start = DDIM().plan(few)
    made = Trajectories(few, states, Denoiser(network, few, "x0"))
    tuned = tune(start, made, gradient=True, rounds=1)
    before, after = (
        np.mean((run(each, network, X, prediction="x0") - end) ** 2) for each in (start, tuned)
    )
    assert after < before / 2


def torch_made(model: Any) -> Trajectories:
    torch = pytest.importorskip("torch")
    return Trajectories(FEW, [torch.tensor(X)] * 6, Denoiser(model, FEW, "epsilon"))


def detached(x: Any, timesteps: Any) -> Any:
    return network(x, timesteps).detach()


def infinite(x: Any, timesteps: Any) -> Any:
    return abs(0 * x) ** 0.5


@pytest.mark.parametrize("levels", [True, False])
def test_what_cannot_be_followed_is_named(levels: bool) -> None:
    def tuned(made: Trajectories) -> Plan:
        return tune(DDIM().plan(FEW), made, memories=2, noise_levels=levels, gradient=True)

    in_numpy = Trajectories(FEW, [X] * 6, Denoiser(network, FEW))
    check_named(lambda: tuned(in_numpy), TypeError, ["numpy", "torch", "gradient=False"])
    check_named(
        lambda: tuned(torch_made(detached)),
        ValueError,
        ["model", "timestep 199", "no_grad", "gradient=False"],
    )
    check_named(
        lambda: tuned(torch_made(infinite)), ValueError, ["gradient", "timestep 199", "NaN"]
    )
    with pytest.raises(TypeError, match="gradient"):
        tune(DDIM().plan(FEW), in_numpy, gradient="torch")
