"""Arrays of JAX whose memory is gone, and tracers out of place: what is said of them."""

from collections.abc import Callable
from typing import Any

import pytest

from schedalg import DDPM, Pool, Schedule, UniPC, begin, sample
from schedalg.running.state import Run

jax = pytest.importorskip("jax")

jnp = jax.numpy
FAST = Schedule.linear(1000).subsample(steps=4)


def network(x: Any, timesteps: Any) -> Any:
    return 0.1 * x


def deleted(*shape: int, dtype: str = "float32") -> Any:
    """Return an array without memory, as one that was donated to a compiled function."""
    x = jnp.ones(shape, dtype)
    x.delete()
    return x


def held() -> Run:
    return begin(UniPC(2).plan(FAST), jnp.ones((2, 3)))


def looked_at(change: Callable[[Run], Any]) -> Callable[[], Any]:
    """Return a call that changes a run after its first row, and then takes another one."""

    def call() -> None:
        run = held()
        run.advance(0.1 * run.input)
        run.advance(change(run))

    return call


def donated(run: Run) -> Any:
    return jax.jit(lambda x: 0.1 * x, donate_argnums=0)(run.input)


def x0_of_deleted() -> None:
    run, output = held(), 0.1 * jnp.ones((2, 3))
    run.advance(output)
    output.delete()
    assert run.x0 is not None


def of_pool(output: Callable[[Pool], Any]) -> None:
    pool = Pool(None, (3,), 2, like=jnp.ones(1))
    pool.add(UniPC(2).plan(FAST), seed=1)
    pool.advance(output(pool))


#: What reads an array without memory, and what the message calls it.
WITHOUT_MEMORY: dict[str, Callable[[], Any]] = {
    "x": lambda: sample(network, FAST, UniPC(2), deleted(2, 3)),
    "model output": lambda: sample(lambda x, t: deleted(2, 3), FAST, UniPC(2), jnp.ones((2, 3))),
    "noise": lambda: sample(
        network, FAST, DDPM(), jnp.ones((2, 3)), noise=deleted(2, dtype="int32")
    ),
    "x0": lambda: FAST.add_noise(deleted(2, 3), jnp.ones((2, 3)), 0),
    "noise ": lambda: FAST.add_noise(jnp.ones((2, 3)), deleted(2, 3), 0),
    "k": lambda: FAST.add_noise(jnp.ones((2, 3)), jnp.ones((2, 3)), deleted(2, dtype="int32")),
    "x has": looked_at(donated),
    "model output at": looked_at(lambda run: deleted(2, 3)),
    "output": x0_of_deleted,
    "model output ": lambda: of_pool(lambda pool: deleted(1, 3)),
    "betas": lambda: Schedule.from_betas(deleted(3)),
}


@pytest.mark.parametrize("name", WITHOUT_MEMORY)
def test_arrays_without_memory_are_named(name: str) -> None:
    with pytest.raises(
        ValueError, match=f"^{name.strip()}\\b.* no memory: it was deleted, or donated"
    ):
        WITHOUT_MEMORY[name]()


@pytest.mark.parametrize("transform", [jax.jit, jax.vmap])
def test_a_tracer_that_has_left_its_function_is_named(transform: Any) -> None:
    left: list[Any] = []

    def function(x: Any) -> Any:
        left.append(x)
        return x.sum()

    transform(function)(jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"^x is a tracer that has left the function that JAX"):
        begin(UniPC(2).plan(FAST), left[0])


def test_traced_numbers_are_named_where_values_are_needed() -> None:
    for name, function in {
        "timesteps": lambda value: FAST.subsample(timesteps=value),
        "indices": lambda value: FAST.subsample(indices=value),
    }.items():
        with pytest.raises(TypeError, match=f"^{name}: this needs to see numbers that JAX traces"):
            jax.jit(lambda value, function=function: function(value).to_betas())(jnp.array([0, 1]))
