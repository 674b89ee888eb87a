"""Arrays of any library in, the same out: schedules."""

import gc
import importlib.util
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from schedalg import Schedule
from schedalg.arrays import known
from tests.libraries import Library, host, lib

__all__ = ["lib"]

BETAS = np.geomspace(1e-3, 0.3, 31)


def constructors(library: Library) -> dict[str, Schedule]:
    """Return a schedule from each kind of array."""
    base = Schedule.from_betas(BETAS)
    return {
        "betas": Schedule.from_betas(library.array(BETAS)),
        "alphas_cumprod": Schedule.from_alphas_cumprod(library.array(base.to_alphas_cumprod())),
        "log_snr": Schedule.from_log_snr(library.array(base.to_log_snr())),
        "sigmas": Schedule.from_sigmas(
            library.array(base.to_sigmas()), timesteps=np.arange(31)
        ).as_vp(),
    }


EXPORTS: list[Callable[[Schedule], Any]] = [
    Schedule.to_betas,
    Schedule.to_alphas,
    Schedule.to_alphas_cumprod,
    Schedule.to_sigmas,
    Schedule.to_log_snr,
    lambda s: s.alpha,
    lambda s: s.sigma,
    lambda s: s.posterior_variance,
    lambda s: s.posterior_log_variance_clipped,
    lambda s: s.posterior_mean_coef1,
    lambda s: s.posterior_mean_coef2,
]

TRANSFORMS: list[Callable[[Schedule], Schedule]] = [
    lambda s: s,
    # Of 8 points each, or 31 again: JAX compiles every operation again for every length.
    lambda s: s[23:],
    lambda s: s[::4],
    lambda s: s[[0, 2, 3, 11, 17, 18, 28, 29]],
    lambda s: s.subsample(steps=8, spacing="trailing"),
    lambda s: s.subsample(steps=8, spacing="karras"),
    lambda s: s.subsample(steps=8, spacing="log_snr"),
    lambda s: s.shift(2.0),
    lambda s: s.rescale_zero_terminal_snr() if s.network_kind == "vp" else s,
    lambda s: s[:11].refine(3),
    lambda s: s[:16].compose(s[:15]),
    lambda s: s[:23].compose(s[23:]),
]


def test_schedules_keep_the_library_and_the_numbers(lib: Library) -> None:
    tolerance = 1e-12 if lib.widest == "float64" else 2e-4
    base = constructors(Library("numpy", "numpy"))
    for name, schedule in constructors(lib).items():
        for transform in TRANSFORMS:
            ours, theirs = transform(schedule), transform(base[name])
            assert len(ours) == len(theirs)
            assert type(ours.timesteps) is np.ndarray
            for export in EXPORTS:
                array = export(ours)
                assert lib.is_mine(array)
                assert array.dtype == getattr(lib.xp, lib.widest)
                np.testing.assert_allclose(
                    host(array), export(theirs), rtol=tolerance, atol=tolerance
                )


def test_a_schedule_equals_its_twin_in_another_library(lib: Library) -> None:
    schedule = Schedule.from_betas(lib.array(BETAS))
    assert schedule == Schedule.from_betas(lib.array(BETAS))
    assert hash(schedule) == hash(Schedule.from_betas(lib.array(BETAS)))
    assert Schedule.from_dict(schedule.to_dict()) == schedule
    assert "31 points" in repr(schedule)


def test_lists_and_integers_are_taken(lib: Library) -> None:
    assert Schedule.from_betas([0.1, 0.2]) == Schedule.from_betas((0.1, 0.2))
    assert Schedule.from_sigmas(lib.array([1, 2, 3])).to_sigmas().shape == (3,)
    base = Schedule.linear(10)
    assert base[lib.array([1, 4])] == base[[1, 4]]
    assert base.subsample(indices=lib.array([1, 4])) == base[[1, 4]]
    assert base.subsample(timesteps=lib.array([1, 4])) == base[[1, 4]]
    mask = lib.xp.asarray(np.arange(10) % 2 == 0)
    assert base[mask] == base[::2]


def test_add_noise_and_target_are_like_x0(lib: Library) -> None:
    rng = np.random.default_rng(0)
    x0, noise = rng.standard_normal((2, 4, 3, 2))
    k = np.array([0, 3, 29, 3])
    for schedule in (Schedule.from_betas(BETAS), Schedule.from_betas(lib.array(BETAS))):
        for dtype in ("float32", lib.widest):
            args = lib.array(x0, dtype), lib.array(noise, dtype)
            noisy = schedule.add_noise(*args, lib.array(k))
            alpha, sigma = (host(v)[k][:, None, None] for v in (schedule.alpha, schedule.sigma))
            assert lib.is_mine(noisy)
            assert noisy.dtype == getattr(lib.xp, dtype)
            np.testing.assert_allclose(
                host(noisy), alpha * x0 + sigma * noise, rtol=1e-5, atol=1e-6
            )
            expected = {"epsilon": noise, "x0": x0, "v": alpha * noise - sigma * x0}
            for prediction, truth in expected.items():
                target = schedule.target(*args, lib.array(k), prediction)
                assert target.dtype == getattr(lib.xp, dtype)
                np.testing.assert_allclose(host(target), truth, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(
                host(schedule.add_noise(*args, 3))[1], host(noisy)[1], rtol=1e-5, atol=1e-6
            )


#: What is differentiated, each a function of the log-SNR of a schedule. Of 7 points, 3 or 13: JAX
#: compiles every operation again for every length.
DIFFERENTIABLE: dict[str, Callable[[Schedule], Any]] = {
    "to_betas": Schedule.to_betas,
    "subsample": lambda s: s.subsample(every=3).to_betas(),
    "karras": lambda s: s.subsample(steps=3, spacing="karras").to_betas(),
    "shift": lambda s: s.shift(2.0).to_alphas(),
    "zero_snr": lambda s: s.rescale_zero_terminal_snr().to_betas(),
    "refine": lambda s: s.refine(2).to_betas(),
    "compose": lambda s: s[:-1].compose(s).to_alphas_cumprod(),
    "sigmas": Schedule.to_sigmas,
    "log_snr": Schedule.to_log_snr,
    "flow": lambda s: s.as_flow().sigma,
    "posterior": lambda s: s.posterior_variance,
}
LOG_SNR = np.array([5.0, 3.5, 1.0, 0.5, -0.2, -3.0, -4.0])


def finite_differences(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return the Jacobian, (outputs, inputs), by central differences."""
    columns = []
    for i in range(len(x)):
        step = np.zeros_like(x)
        step[i] = 1e-5
        columns.append((function(x + step) - function(x - step)) / 2e-5)
    return np.stack(columns, axis=-1)


def jax_jacobian(function: Callable[[Any], Any]) -> Any:
    """Return the Jacobian of one array of numbers, or of each in a dictionary."""
    import jax

    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, jax.jacobian(function)(jax.numpy.asarray(LOG_SNR)))


@cache
def jacobians() -> dict[str, np.ndarray]:
    """Return those of all functions, of one schedule that JAX follows; none where one fails."""

    def every(log_snr: Any) -> dict[str, Any]:
        schedule = Schedule.from_log_snr(log_snr)
        return {name: function(schedule) for name, function in DIFFERENTIABLE.items()}

    try:
        found: dict[str, np.ndarray] = jax_jacobian(every)
    except Exception:
        return {}
    return found


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_gradients_match_finite_differences(name: str, library: str) -> None:
    if not importlib.util.find_spec(library):
        pytest.skip(f"{library} is not installed")

    def function(log_snr: Any) -> Any:
        return DIFFERENTIABLE[name](Schedule.from_log_snr(log_snr))

    if library == "torch":
        import torch

        jacobian = torch.autograd.functional.jacobian(function, torch.tensor(LOG_SNR)).numpy()
    else:
        jacobian = jacobians().get(name)
        if jacobian is None:
            jacobian = jax_jacobian(function)
    expected = finite_differences(function, LOG_SNR)
    assert np.isfinite(jacobian).all()
    np.testing.assert_allclose(jacobian, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["from_betas", "from_alphas_cumprod", "from_sigmas"])
def test_every_constructor_is_differentiable(name: str) -> None:
    torch = pytest.importorskip("torch")
    values = {
        "from_betas": np.array([0.01, 0.2, 0.7]),
        "from_alphas_cumprod": np.array([0.99, 0.5, 0.1]),
        "from_sigmas": np.array([0.1, 1.0, 9.0]),
    }[name]

    def function(x: Any) -> Any:
        return getattr(Schedule, name)(x).to_log_snr()

    jacobian = torch.autograd.functional.jacobian(function, torch.tensor(values)).numpy()
    np.testing.assert_allclose(jacobian, finite_differences(function, values), rtol=1e-6, atol=1e-6)


def test_what_a_result_must_be_like_is_read_off_once(lib: Library) -> None:
    """And x may be gone by then: nothing holds it."""
    x = lib.array(np.ones((2, 3)))
    like, reference = known(x).likeness(x), weakref.ref(x)
    others = [lib.array(np.ones((3, 2))), lib.array(np.ones((2, 3), int)), np.ones((2, 3), "f2")]
    for result, expected in [(lib.array(np.zeros((2, 3))), True), *((y, False) for y in others)]:
        assert bool(known(x).is_like(result, x)) is expected
        assert bool(like(result)) is expected
    del x
    gc.collect()
    assert reference() is None
