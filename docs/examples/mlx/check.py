"""Checks of the installed backend: `python check.py`."""

import mlx.core as mx
import numpy as np

from schedalg import DDPM, Schedule, UniPC, backends, begin, initial_noise, resume, sample
from schedalg.running.backend import backend_for
from schedalg.testing import check_backend


def model(x: mx.array, timesteps: mx.array) -> mx.array:
    """Stand in for a network."""
    return mx.tanh(x) * mx.cos(timesteps / 1000.0)[:, None]


def main() -> None:
    """Raise an AssertionError if something differs from what backends promise."""
    status = {backend.name: backend for backend in backends()}
    assert status["mlx"].available, status
    x = mx.array(np.random.default_rng(0).standard_normal((4, 6)), dtype=mx.float32)
    assert type(backend_for(x)).__module__ == "schedalg_mlx"
    check_backend(
        lambda values, dtype: mx.array(np.asarray(values), dtype=getattr(mx, dtype)),
        ["float32", "float16", "bfloat16"],
    )
    fast = Schedule.linear(1000).subsample(steps=10)
    for sampler in (DDPM(), UniPC()):
        image = sample(model, fast, sampler, x, noise=[1, 2, 3, 4])
        exact = sample(
            lambda x, t: np.tanh(x) * np.cos(t / 1000)[:, None],
            fast,
            sampler,
            np.array(x, dtype=np.float64),
            noise=[1, 2, 3, 4],
        )
        np.testing.assert_allclose(np.array(image), exact, rtol=1e-4, atol=1e-4)
        held = begin(sampler.plan(fast), x, noise=[1, 2, 3, 4])
        for _ in range(4):
            held.advance(model(held.input, held.timesteps))
        later = resume(held.plan, held.state())
        while not later.done:
            later.advance(model(later.input, later.timesteps))
        assert mx.array_equal(later.x, image), "a run that was stopped goes on to the same bits"
    start, k = initial_noise(fast, (4, 6), 7, like=x), np.array([0, 3, 5, 9])
    host = initial_noise(fast, (4, 6), 7)
    np.testing.assert_allclose(np.array(start), host, rtol=1e-5, atol=1e-6)
    noisy = fast.add_noise(x, start, mx.array(k))
    exact = fast.add_noise(np.array(x, dtype=np.float64), host, k)
    np.testing.assert_allclose(np.array(noisy), exact, rtol=1e-5, atol=1e-5)
    print("mlx", mx.__version__, "on", mx.default_device())


if __name__ == "__main__":
    main()
