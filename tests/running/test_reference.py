"""The core's own backend: its arithmetic, the memory it takes, and tracing."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DPMSolverPP, Euler, Heun, Schedule, UniPC, sample, sample_steps
from schedalg.running.reference import BLOCK
from schedalg.testing import check_backend
from tests.libraries import Library, lib

__all__ = ["lib"]

FAST = Schedule.linear(1000).subsample(steps=6)


def test_every_library_does_the_same_arithmetic(lib: Library) -> None:
    half = {"numpy": ["float16"], "torch": ["float16", "bfloat16"], "jax": ["float16", "bfloat16"]}
    dtypes = ["float64", "float32"] if lib.widest == "float64" else ["float32"]
    check_backend(lib.array, [*dtypes, *half.get(lib.name, [])])


@pytest.mark.parametrize("sampler", [DDIM(), DPMSolverPP(2), UniPC(2)], ids=lambda s: repr(s))
def test_a_loop_holds_x_the_output_and_its_memories_and_no_more(sampler: Any) -> None:
    x = np.ones((4, 3, 128, 128), dtype=np.float32)
    memories = sampler.plan(FAST).b.shape[1]
    peak = peak_of(lambda: sample(lambda x, t: x * 0.1, FAST, sampler, x))
    assert peak <= (2 + memories) * x.nbytes + 3 * 4 * BLOCK + 2**17


@pytest.mark.parametrize("sampler", [Euler(), Heun()], ids=lambda s: repr(s))
def test_a_scaled_input_takes_no_memory_of_its_own(sampler: Any) -> None:
    schedule = Schedule.linear(1000).subsample(steps=6).as_ve()
    x = np.ones((4, 3, 128, 128), dtype=np.float32)
    memories = sampler.plan(schedule).b.shape[1]
    peak = peak_of(lambda: sample(lambda x, t: x * 0.1, schedule, sampler, x))
    assert peak <= (2 + memories) * x.nbytes + 3 * 4 * BLOCK + 2**17


def peak_of(run: Any) -> int:
    """Return the bytes that NumPy's arrays and everything else take at most, above the start."""
    run()
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_steps_that_are_yielded_stay_as_they_are() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3))
    for schedule in (FAST, FAST.as_ve()):
        for sampler in (DDIM(), UniPC(2), Heun()):
            seen, copies = [], []
            for step in sample_steps(lambda x, t: np.sin(x), schedule, sampler, x):
                seen.append(step)
                copies.append(step.copy())
            np.testing.assert_array_equal(seen, copies)


def test_the_whole_loop_is_traced_by_jax() -> None:
    jax = pytest.importorskip("jax")
    calls = 0

    def network(x: Any, timesteps: Any) -> Any:
        nonlocal calls
        calls += 1
        return jax.numpy.sin(x) + timesteps[:, None] / 1000

    x = jax.numpy.asarray(np.random.default_rng(0).standard_normal((2, 3)), dtype="float32")
    for sampler in (DDIM(), UniPC(2), DDIM(eta=1.0)):

        def loop(x: Any, sampler: Any = sampler) -> Any:
            return sample(network, FAST, sampler, x, clip=(-1, 1), noise=[3, 4])

        compiled = jax.jit(loop)
        expected = loop(x)
        calls = 0
        for _ in range(2):
            result = compiled(x)
            np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
            assert result.devices() == x.devices()
        assert calls == 1  # traced once, for all rows


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of numpy.matrix
def test_subclasses_of_numpy_arrays_are_run_and_masks_are_refused() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3))
    for sampler in (DDIM(), UniPC(2)):
        expected = sample(lambda x, t: 0.3 * x, FAST, sampler, x)
        result = sample(lambda x, t: np.asmatrix(0.3 * x), FAST, sampler, x)
        np.testing.assert_allclose(result, expected, rtol=1e-13)
    masked = np.ma.masked_less(x, 0)
    with pytest.raises(TypeError, match="x must not be a masked array"):
        sample(lambda x, t: x, FAST, DDIM(), masked)
    with pytest.raises(TypeError, match="model output at timestep 999 must not be a masked array"):
        sample(lambda x, t: masked, FAST, DDIM(), x)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_a_coefficient_beyond_float32_is_named(library: str) -> None:
    xp: Any = pytest.importorskip(library)
    schedule = Schedule.from_betas(np.full(20, 1 - 1e-15))
    x = xp.ones((1, 2), dtype=xp.float32)
    with pytest.raises(ValueError, match=r"a coefficient of row 0 \(timestep 19\) is .* float64"):
        sample(lambda x, t: x, schedule, DDIM(), x, clip=(-1, 1))
    wide = xp.ones((1, 2), dtype=xp.float64)
    assert xp.isfinite(sample(lambda x, t: x, schedule, DDIM(), wide, clip=(-1, 1))).all()
