"""A whole run as one scan: its arithmetic, its size, what it is a function of."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    DynamicThreshold,
    EulerAncestral,
    Heun,
    Plan,
    Schedule,
    UniPC,
    run,
    sample,
)
from schedalg.running.reference import Functional
from schedalg.testing.rows import CASES, Case, random_rows
from tests.registry.references import StepDDPM

jax = pytest.importorskip("jax")

from schedalg_jax.running import scanned  # noqa: E402

jnp = jax.numpy
FAST = Schedule.linear(1000).subsample(steps=6)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


def network(x: Any, timesteps: Any) -> Any:
    return 0.5 * x - 0.1 * x**3 / (1 + x**2)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_every_kind_of_row_is_what_it_is_one_by_one(case: Case, dtype: str) -> None:
    rng = np.random.default_rng(0)
    rows = random_rows(rng, case)
    count, shape = len(rows.rows), (2, 2, 3)
    outputs, between, given = (rng.standard_normal((count, *shape)) for _ in range(3))
    keys = rng.integers(0, 2**64, (2, 2), dtype=np.uint64)
    key = jax.random.key(3)
    with jax.enable_x64(dtype == "float64"):

        def made(values: np.ndarray) -> Any:
            return jnp.asarray(values, dtype=dtype)

        def answer(x: Any, timesteps: Any) -> tuple[Any, Any]:
            k = timesteps[0]
            variance = made(between)[k] if case.learned else None
            return made(outputs)[k] + x / 4, variance

        def bounded(x0: Any) -> Any:
            return jnp.tanh(x0)

        from schedalg_jax.library import KeyNoise

        outside = bounded if case.outside else None
        if case.outside:  # which random_rows leaves to whoever calls the update
            rows.rows[:] = [row._replace(read=(0.5, -0.25)) for row in rows.rows]
        source = keys if case.noise == "keys" else KeyNoise(key)
        x = made(given[0])
        whole = jax.jit(lambda x: scanned(rows, np.arange(count), source, answer, outside, x))(x)

        update = Functional(rows, keys if case.noise == "keys" else None)
        draw = KeyNoise(key)
        for k, row in enumerate(rows.rows):
            output, variance = answer(update.input(k, x), jnp.asarray([k]))
            x0 = None
            if outside is not None and row.read is not None:
                x0 = bounded(made(row.read[0] * x + row.read[1] * output))
            noise = draw(x) if row.noise and case.noise != "keys" else None
            x = update(k, x, output, x0, variance, noise)
        within = {"float64": 1e-13, "float32": 2e-6, "bfloat16": 0.1}[dtype]
        close = np.asarray(whole.astype("float32" if dtype == "bfloat16" else dtype))
        exact = np.asarray(x.astype(close.dtype))
        np.testing.assert_allclose(close, exact, rtol=within, atol=within)


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
@pytest.mark.parametrize("clip", [None, (-1.0, 1.0), DynamicThreshold()])
def test_compiled_samples_are_those_of_numpy(prediction: Any, clip: Any) -> None:
    x = jnp.asarray(X, dtype="float32")
    how: dict[str, Any] = {"prediction": prediction, "clip": clip, "noise": [5, 6, 7, 8]}
    samplers = (DDIM(), DDPM(), UniPC(3), EulerAncestral(), Heun(), StepDDPM())
    # As one program, which is compiled sooner than six.
    images = jax.jit(lambda x: [sample(network, FAST, s, x, **how) for s in samplers])(x)
    for sampler, got in zip(samplers, images, strict=True):
        exact = sample(network, FAST, sampler, X, **how)
        assert (got.dtype, got.shape) == (x.dtype, x.shape)
        np.testing.assert_allclose(got, exact, rtol=2e-4, atol=2e-4, err_msg=repr(sampler))


def test_a_learned_variance_is_scanned() -> None:
    def model(x: Any, timesteps: Any) -> Any:
        xp = np if isinstance(x, np.ndarray) else jnp
        return xp.concat([network(x, timesteps), xp.sin(x)], axis=1)

    x, sampler = jnp.asarray(X, dtype="float32"), DDPM("learned_range")
    exact = sample(model, FAST, sampler, X, noise=3)
    got = jax.jit(lambda x: sample(model, FAST, sampler, x, noise=3))(x)
    np.testing.assert_allclose(got, exact, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="a learned variance needs a network"):
        jax.jit(lambda x: sample(network, FAST, sampler, x, noise=3))(x)


def size(jaxpr: Any) -> int:
    """Return the number of operations of a program, those of its loops included."""
    total = 0
    for equation in jaxpr.eqns:
        parts = [part for value in equation.params.values() for part in (value, *_many(value))]
        inner = [getattr(part, "jaxpr", part) for part in parts]
        total += 1 + sum(size(part) for part in inner if hasattr(part, "eqns"))
    return total


def _many(value: Any) -> Any:
    return value if isinstance(value, tuple | list) else ()


@pytest.mark.parametrize("sampler", [DDIM(), DDPM(), UniPC(3)], ids=repr)
def test_a_program_is_as_large_for_1000_steps_as_for_10(sampler: Any) -> None:
    x = jnp.asarray(X, dtype="float32")
    base, sizes, seen = Schedule.linear(1000), [], []

    def model(x: Any, timesteps: Any) -> Any:
        seen.append(timesteps.dtype)
        return network(x, timesteps)

    for steps in (10, 1000):
        fast = base.subsample(steps=steps)
        made = jax.make_jaxpr(lambda x, fast=fast: sample(model, fast, sampler, x, noise=7))(x)
        sizes.append(size(made.jaxpr))
        betas = jnp.linspace(1e-4, 0.02, steps)
        made = jax.make_jaxpr(
            lambda b, x: sample(model, Schedule.from_betas(b), sampler, x, noise=7)
        )(betas, x)
        sizes.append(size(made.jaxpr))
    assert sizes[:2] == sizes[2:]
    assert seen == [jnp.int32] * 4  # called once in each, and told integers


def test_timesteps_between_integers_are_told_in_float32() -> None:
    seen = []

    def model(x: Any, timesteps: Any) -> Any:
        seen.append((str(timesteps.dtype), timesteps.shape))
        return x / 9

    for dtype in ("float32", "bfloat16"):
        x = jnp.asarray(X, dtype=dtype)
        assert jax.jit(lambda x: sample(model, Schedule.karras(5), DDIM(), x))(x).dtype == dtype
    assert seen == [("float32", (4,))] * 2


def test_gradients_flow_through_x_the_network_and_the_schedule() -> None:
    log_snr = np.array([4.0, 1.0, -1.0, -4.0])

    def total(values: Any, scale: Any, x: Any, sampler: Any) -> Any:
        schedule = Schedule.from_log_snr(values)
        image = sample(lambda x, t: scale * jnp.sin(x), schedule, sampler, x, clip=(-3, 3))
        return (image**2).sum()

    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        given = tuple(map(jnp.asarray, (log_snr, 0.7, X)))
        along = tuple(jnp.asarray(rng.standard_normal(part.shape)) for part in given)
        image = jax.jit(lambda v, scale, x: total(v, scale, x, UniPC(2)))
        slopes = jax.jit(jax.grad(image, argnums=(0, 1, 2)))(*given)
        for i, (slope, way) in enumerate(zip(slopes, along, strict=True)):
            h = 1e-6
            ends = [image(*given[:i], given[i] + step * way, *given[i + 1 :]) for step in (h, -h)]
            np.testing.assert_allclose(
                (slope * way).sum(), (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-8
            )


def test_vmap_runs_each_lane_as_alone() -> None:
    x = jnp.asarray(X, dtype="float32")
    seeds = jnp.asarray([3, 4, 5], dtype="int32")

    def image(seed: Any, x: Any) -> Any:
        return sample(network, FAST[:2], DDPM(), x, noise=seed)

    alone = [sample(network, FAST[:2], DDPM(), X, noise=int(seed)) for seed in seeds]
    lanes = jax.vmap(image, in_axes=(0, None))
    for mapped in (lanes, jax.jit(lanes)):
        np.testing.assert_allclose(mapped(seeds, x), alone, rtol=1e-4, atol=1e-4)
    many = jnp.stack([x, 2 * x])
    both = jax.jit(jax.vmap(lambda x: sample(network, FAST, UniPC(2), x)))(many)
    for got, one in zip(both, many, strict=True):
        np.testing.assert_allclose(got, sample(network, FAST, UniPC(2), one), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", [DDPM(), StepDDPM()], ids=repr)
def test_seeds_may_be_arguments_and_give_the_numbers_of_every_library(sampler: Any) -> None:
    x = jnp.asarray(X, dtype="float32")
    image = jax.jit(lambda seeds, x: sample(network, FAST, sampler, x, noise=seeds))
    for seeds in (np.array([11, 12, 2**31 - 1, 0], dtype=np.int32), np.uint32(2**32 - 1)):
        exact = sample(network, FAST, sampler, X, noise=seeds)
        np.testing.assert_allclose(image(jnp.asarray(seeds), x), exact, rtol=1e-4, atol=1e-4)


def test_an_empty_batch_stays_empty() -> None:
    for shape in ((0, 2, 3), (4, 0, 3)):
        x = jnp.zeros(shape, dtype="float32")
        for noise in (7, jnp.arange(shape[0])):
            got = jax.eval_shape(
                lambda x, noise: sample(network, FAST, DDPM(), x, noise=noise), x, noise
            )
            assert got.shape == shape


def test_a_key_may_be_an_argument_and_draws_as_row_by_row() -> None:
    x = jnp.asarray(X, dtype="float32")
    plan = Plan.of(FAST, a=np.ones(6), b=np.zeros(6), c=[1, 0, 2, 0, 0, 3], start=(1.0, 0.5))
    image = jax.jit(lambda key, x: run(plan, network, x, noise=key))
    for key in (jax.random.key(3), jax.random.PRNGKey(3)):
        np.testing.assert_allclose(
            image(key, x), run(plan, network, x, noise=key), rtol=1e-5, atol=1e-5
        )
    assert (image(jax.random.key(3), x) != image(jax.random.key(4), x)).any()


def test_functions_and_generators_draw_for_every_row() -> None:
    x = jnp.asarray(X, dtype="float32")
    draws = np.random.default_rng(5).standard_normal((6, *X.shape))

    def drawn(library: Callable[..., Any]) -> Callable[[Any], Any]:
        each = iter(draws)
        return lambda x: library(next(each), dtype=x.dtype)

    exact = sample(network, FAST, DDPM(), X, noise=drawn(np.asarray))
    got = jax.jit(lambda x: sample(network, FAST, DDPM(), x, noise=drawn(jnp.asarray)))(x)
    np.testing.assert_allclose(got, exact, rtol=1e-4, atol=1e-4)
    exact = sample(network, FAST, DDPM(), X, noise=np.random.default_rng(1))
    rng = np.random.default_rng(1)
    got = jax.jit(lambda x: sample(network, FAST, DDPM(), x, noise=rng))(x)
    np.testing.assert_allclose(got, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("noise", "error", "message"),
    [
        (lambda: jax.random.split(jax.random.key(0), 4), ValueError, r"JAX keys, in .* \(4,\)"),
        (lambda: jax.random.split(jax.random.PRNGKey(0), 4), ValueError, r"keys of 2 words each"),
        (lambda: jnp.ones(4), TypeError, r"noise must be .*; got shape \(4,\), dtype float32"),
        (lambda: jnp.ones(4, dtype=bool), TypeError, "noise must be .*dtype bool"),
        (lambda: jnp.arange(3), ValueError, "noise holds 3 seeds for 4 samples of x"),
        (lambda: jnp.asarray([1, -2, 3, 4]), ValueError, r"noise\[1\]: a seed must be at least 0"),
    ],
)
def test_keys_and_seeds_of_a_wrong_kind_are_named(
    noise: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        sample(network, FAST, DDPM(), jnp.asarray(X, dtype="float32"), noise=noise())


def test_traced_seeds_of_a_wrong_number_or_kind_are_named() -> None:
    x = jnp.asarray(X, dtype="float32")
    image = jax.jit(lambda noise: sample(network, FAST, DDPM(), x, noise=noise))
    with pytest.raises(ValueError, match="noise holds 3 seeds for 4 samples of x"):
        image(jnp.arange(3))
    with pytest.raises(TypeError, match=r"noise must be .*; got shape \(4,\), dtype float32"):
        image(jnp.ones(4))
    with pytest.raises(TypeError, match=r"noise must be .*; got shape \(\), dtype key"):
        sample(network, FAST, DDPM(), X, noise=jax.random.key(0))


def test_nothing_is_looked_at_while_a_run_is_traced() -> None:
    x = jnp.asarray(X, dtype="float32")
    with pytest.raises(ValueError, match="check_finite=True cannot look at an output"):
        jax.jit(lambda x: sample(network, FAST, DDIM(), x, check_finite=True))(x)
    with pytest.raises(ValueError, match="model returned NaN or infinity in call 0"):
        sample(lambda x, t: jnp.nan * x, FAST, DDIM(), x, check_finite=True)


def test_dtypes_that_cannot_be_run_are_named() -> None:
    x = jnp.ones((2, 3), dtype=jnp.float8_e5m2)
    with pytest.raises(TypeError, match="x must be of a dtype of 16 bits or more"):
        sample(network, FAST, DDIM(), x)
