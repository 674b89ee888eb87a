"""Runs held in hand while JAX traces them: row by row, and with samples at rows of their own."""

from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    Denoiser,
    Schedule,
    UniPC,
    begin,
    initial_noise,
    inpaint,
    resume,
    sample,
    sample_steps,
)
from schedalg.network.model import Model
from schedalg.parameterization import PARAMETERIZATIONS
from schedalg.running import philox
from schedalg.running.noise import noise_for
from schedalg.running.rows import rows_of

jax = pytest.importorskip("jax")

from schedalg_jax import backend  # noqa: E402

jnp = jax.numpy
FAST = Schedule.linear(1000).subsample(steps=4)
SIGMAS = np.geomspace(0.1, 5, 4)
X = np.random.default_rng(3).standard_normal((2, 3))


def network(x: Any, timesteps: Any) -> Any:
    return 0.5 * x - 0.1 * x**3 / (1 + x**2) + 1e-2 * timesteps[:, None]


def held(schedule: Schedule, x: Any) -> Any:
    run = begin(UniPC(2).plan(schedule), x, clip=(-3, 3))
    while not run.done:
        run.advance(network(run.input, run.timesteps))
    return run.x, run.x0


def test_a_run_in_hand_is_the_whole_run() -> None:
    """Of traced noise levels, whose timesteps are traced too."""

    def images(sigmas: Any, x: Any) -> Any:
        schedule = Schedule.from_sigmas(sigmas)
        x = x * schedule.prior_std
        whole = sample(network, schedule, UniPC(2), x, clip=(-3, 3))
        *_, last = sample_steps(network, schedule, UniPC(2), x, clip=(-3, 3))
        return (whole, last, *held(schedule, x))

    given = jnp.asarray(SIGMAS, dtype="float32"), jnp.asarray(X, dtype="float32")
    for got in jax.jit(images)(*given):
        np.testing.assert_allclose(got, images(SIGMAS, X)[0], rtol=1e-3, atol=1e-4)


def test_samples_at_rows_of_their_own_draw_from_traced_seeds() -> None:
    rows = rows_of(DDPM().plan(FAST), X, PARAMETERIZATIONS["x0"])
    seeds, k = np.array([5, 6], dtype=np.int32), np.array([0, 2])

    def after(seeds: Any, x: Any, k: Any) -> Any:
        keys = noise_for(x, seeds)
        return backend.update(rows, x, keys, reuse=False)(k, x, 0 * x, None, None, None)

    x = jnp.asarray(X, dtype="float32")
    got = jax.jit(lambda seeds, x: after(seeds, x, k))(jnp.asarray(seeds), x)
    for i, row in enumerate(k.tolist()):
        key = np.array([[seeds[i], 0]], dtype=np.uint64)
        z = philox.normal(key, rows.words[row], 3)
        exact = rows.rows[row].x * X[i] + rows.rows[row].noise * z[0]
        np.testing.assert_allclose(got[i], exact, rtol=1e-5, atol=1e-5)


def test_the_start_is_made_from_traced_seeds() -> None:
    like = jnp.zeros((1,))

    def start(seeds: Any) -> Any:
        return initial_noise(Schedule.karras(2), (2, 3), seeds, like=like)

    for seeds in (jnp.asarray([5, 6]), [5, 6], jnp.asarray(5)):  # a list: traced number by number
        np.testing.assert_allclose(jax.jit(start)(seeds), start(seeds), rtol=1e-5)
    with pytest.raises(ValueError, match="seeds holds 3 seeds for 2 samples"):
        jax.eval_shape(start, jnp.asarray([5, 6, 7]))


def test_inpainting_takes_traced_data_and_masks() -> None:
    schedule, x = Schedule.linear(2), jnp.ones((1, 3))

    def image(known: Any, mask: Any) -> Any:
        network = Denoiser(lambda x, timesteps: 0.1 * x, schedule)
        return sample(inpaint(network, known, mask), schedule, DDIM(), x)

    known, mask = jnp.asarray([2.0, np.nan, 4.0]), jnp.asarray([True, False, True])
    np.testing.assert_allclose(jax.jit(image)(known, mask), image(known, mask), rtol=1e-6)
    with pytest.raises(TypeError, match="mask must hold real numbers"):
        jax.eval_shape(image, known, mask * 1j)


def test_a_run_that_stopped_goes_on_in_a_traced_function() -> None:
    plan = UniPC(2).plan(FAST)
    run = begin(plan, jnp.asarray(X, dtype="float32"))
    run.advance(network(run.input, run.timesteps))
    state = run.state()
    traced = jax.eval_shape(lambda x: resume(plan, {**state, "x": x}).x, state["x"])
    assert traced.shape == X.shape


def test_a_state_does_not_hold_traced_seeds() -> None:
    x = jnp.asarray(X, dtype="float32")
    with pytest.raises(ValueError, match="its seeds are traced"):
        jax.jit(lambda seed: begin(DDPM().plan(FAST), x, noise=seed).state()["x"])(3)


def _ended(*arguments: Any) -> Any:
    return next(iter(()))


@pytest.mark.parametrize(
    ("model", "clip", "message"),
    [
        (_ended, None, "raised StopIteration"),
        (network, _ended, "raised StopIteration"),
        (network, lambda x0: x0[:1], "x0 returned by clip has the wrong shape"),
        (lambda x, t: x[:1], None, "model output has the wrong shape"),
    ],
)
def test_what_functions_return_is_checked_within_a_whole_run(
    model: Model, clip: Any, message: str
) -> None:
    x = jnp.asarray(X, dtype="float32")
    with pytest.raises(ValueError, match=message):
        jax.jit(lambda x: sample(model, FAST, UniPC(2), x, clip=clip))(x)
