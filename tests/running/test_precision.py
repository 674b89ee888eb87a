"""Libraries and dtypes of a sample."""

from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, Sampler, Schedule, sample
from tests.libraries import Library, host, lib
from tests.running.few import EVERY_SAMPLER, network

__all__ = ["lib"]

FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


@EVERY_SAMPLER
def test_arrays_of_any_library_in_the_same_out(lib: Library, sampler: Sampler) -> None:
    expected = sample(network, FAST, sampler, X, noise=5, clip=(-2, 2))
    tolerances = {"float64": 1e-11, "float32": 2e-4}
    for dtype in {"float32", lib.widest}:
        x = lib.array(X, dtype)
        for prediction in ("epsilon", "x0", "v"):
            result = sample(network, FAST, sampler, x, noise=5, prediction=prediction)
            assert lib.is_mine(result)
            assert result.dtype == x.dtype
            assert result.shape == x.shape
            assert type(result) is type(x)
        result = sample(network, FAST, sampler, x, noise=5, clip=(-2, 2))
        tolerance = tolerances[dtype]
        np.testing.assert_allclose(host(result), expected, rtol=tolerance, atol=tolerance)


@EVERY_SAMPLER
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_kept(sampler: Sampler, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(X, dtype=getattr(torch, dtype))
    result = sample(network, FAST, sampler, x, noise=0, clip=(-1, 1))
    assert result.dtype == x.dtype
    assert torch.isfinite(result).all()


def test_the_network_sees_only_x_s_own_dtype(lib: Library) -> None:
    seen: list[tuple[Any, Any, Any]] = []

    def model(x: Any, timesteps: Any) -> Any:
        seen.append((x.dtype, timesteps.dtype, timesteps.shape))
        return x

    x = lib.array(X, "float32")
    sample(model, FAST, DDPM(), x, noise=0)
    integer = "int32" if lib.widest == "float32" else "int64"
    assert set(seen) == {(x.dtype, lib.array([0], integer).dtype, (4,))}
    seen.clear()
    sample(model, Schedule.flow(5), DDIM(), x, prediction="v")
    assert set(seen) == {(x.dtype, x.dtype, (4,))}


def test_half_precision_is_told_fractional_timesteps_in_single() -> None:
    told = []

    def model(x: Any, timesteps: Any) -> Any:
        told.append(timesteps)
        return x

    x = np.ones((2, 3), dtype=np.float16)
    result = sample(model, Schedule.karras(4), DDIM(), x, prediction="x0")
    assert result.dtype == np.float16
    assert told[0].dtype == np.float32


def test_a_schedule_of_arrays_does_not_change_x_s_dtype(lib: Library) -> None:
    schedule = Schedule.from_betas(lib.array(np.linspace(0.01, 0.3, 9)))
    expected = sample(network, Schedule.from_betas(np.linspace(0.01, 0.3, 9)), DDPM(), X, noise=1)
    x = lib.array(X, "float32")
    result = sample(network, schedule, DDPM(), x, noise=1)
    assert result.dtype == x.dtype
    np.testing.assert_allclose(host(result), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_a_schedule_of_tensors_steps_half_precision_as_one_of_numpy_does(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    betas = np.linspace(1e-4, 0.02, 1000)
    x = torch.tensor(X, dtype=getattr(torch, dtype))
    ours, theirs = (
        sample(network, Schedule.from_betas(b)[::100], DDPM(), x, noise=0)
        for b in (torch.tensor(betas), betas)
    )
    assert torch.equal(ours, theirs)
