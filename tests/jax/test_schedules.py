"""Schedules made of numbers that JAX traces."""

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    DEIS,
    IPNDM,
    LMS,
    PNDM,
    DPMSolver,
    DPMSolverPP,
    Euler,
    EulerAncestral,
    Heun,
    Midpoint,
    RePaint,
    Restart,
    SASolver,
    Schedule,
    UniPC,
    sample,
)
from schedalg.running import philox

jax = pytest.importorskip("jax")

jnp = jax.numpy
X = np.random.default_rng(3).standard_normal((2, 3))
BETAS = np.linspace(1e-3, 0.4, 9)
SINGLE = jnp.asarray(BETAS, dtype="float32"), jnp.asarray(X, dtype="float32")
MADE: dict[str, tuple[Callable[..., Schedule], np.ndarray]] = {
    "betas": (Schedule.from_betas, BETAS),
    "alphas_cumprod": (Schedule.from_alphas_cumprod, np.cumprod(1 - BETAS)),
    "log_snr": (Schedule.from_log_snr, np.linspace(4, -5, 9)),
    "sigmas": (Schedule.from_sigmas, np.geomspace(0.1, 5, 9)),
    "flow_times": (Schedule.from_flow_times, np.linspace(0.1, 0.9, 9)),
}
#: Schedules of one or a few numbers.
OF_NUMBERS: dict[str, tuple[Callable[..., Schedule], tuple[float, ...]]] = {
    "linear": (lambda a, b: Schedule.linear(4, a, b), (0.01, 0.3)),
    "cosine": (lambda s, limit: Schedule.cosine(5, s, limit), (0.01, 0.6)),
    "karras": (lambda a, b, rho: Schedule.karras(5, a, b, rho), (0.03, 40.0, 6.0)),
    "shift": (lambda factor: Schedule.linear(9, 0.01, 0.3)[[1, 4, 8]].shift(factor), (3.0,)),
    "alpha_bar": (lambda v: Schedule.from_alpha_bar(lambda t: 1 - v * t, 4), (0.7,)),
}
PARTS: dict[str, Callable[[Schedule], Schedule]] = {
    "a stretch": lambda s: s[2:7],
    "every second": lambda s: s.subsample(every=2),
    "joined again": lambda s: s[:4].compose(s[4:]),
    "shifted": lambda s: s.shift(2.0),
    "in another scale": lambda s: s.as_ve(),
}
EXPORTED = ("alpha", "sigma", "to_log_snr", "to_sigmas", "timesteps", "posterior_variance")


def network(x: Any, timesteps: Any) -> Any:
    return 0.5 * x - 0.1 * x**3 / (1 + x**2) + 1e-4 * timesteps[:, None]


def numbers(schedule: Schedule) -> list[Any]:
    values = (getattr(schedule, name) for name in EXPORTED)
    return [value() if callable(value) else value for value in values]


@pytest.mark.parametrize("source", MADE)
def test_a_traced_schedule_is_what_it_is_of_numbers(source: str) -> None:
    made, values = MADE[source]

    def every(v: Any) -> list[list[Any]]:
        schedule = made(v)
        return [numbers(part(schedule)) for part in PARTS.values()]

    with jax.enable_x64(True):
        for got, part in zip(jax.jit(every)(jnp.asarray(values)), PARTS.values(), strict=True):
            for name, one, exact in zip(EXPORTED, got, numbers(part(made(values))), strict=True):
                np.testing.assert_allclose(one, exact, rtol=1e-12, atol=1e-15, err_msg=name)
        if source == "betas":
            np.testing.assert_allclose(
                jax.jit(lambda v: made(v)[3:].to_betas())(values), values[3:], rtol=1e-13
            )


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_a_schedule_of_traced_numbers_is_what_it_is_of_numbers(name: str) -> None:
    made, numbers_given = OF_NUMBERS[name]

    def every(*values: Any) -> list[Any]:
        schedule = made(*values)
        return [schedule.alpha, schedule.sigma, schedule.timesteps]

    exact = every(*numbers_given)
    with jax.enable_x64(True):
        given = [jnp.asarray(v) for v in numbers_given]
        traced = jax.eval_shape(every, *given)
        assert [shape.shape for shape in traced] == [part.shape for part in exact]
        if name != "linear" and not os.environ.get("CI"):
            return  # to compile the others takes seconds, and they are made of the same functions
        got = jax.jit(every)(*given)
    for one, part in zip(got, exact, strict=True):
        np.testing.assert_allclose(one, part, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("value", [[0.1, 0.2], [], True])
def test_a_traced_number_is_one_real_number(value: Any) -> None:
    with pytest.raises(TypeError, match="beta_end must be a real number"):
        jax.jit(lambda v: Schedule.linear(5, beta_end=v).alpha)(jnp.asarray(value))


@pytest.mark.parametrize(
    ("source", "part", "sampler"),
    [*zip(MADE, PARTS, [DDIM(), UniPC(3), Heun(), Euler(), DDIM()], strict=True)],
)
def test_samples_of_traced_schedules_are_those_of_numpy(
    source: str, part: str, sampler: Any
) -> None:
    made, values = MADE[source]

    def image(v: Any, x: Any) -> Any:
        schedule = PARTS[part](made(v))
        return sample(network, schedule, sampler, x * schedule.prior_std, clip=(-3, 3))

    got = jax.jit(image)(jnp.asarray(values, dtype="float32"), jnp.asarray(X, dtype="float32"))
    np.testing.assert_allclose(got, image(values, X), rtol=1e-3, atol=1e-4)


class Ancestral:
    """A sampler of steps, which looks at no number."""

    def init(self, x: Any, schedule: Schedule) -> None:
        return None

    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any, state: None) -> Any:
        return s.alpha * denoise(x, t) + s.sigma * noise(x), state


SAMPLERS = [
    DDPM("fixed_large"),
    DDIM(1.0),
    EulerAncestral(),
    DPMSolver(3),
    DPMSolverPP(3),
    DPMSolverPP(2, singlestep=True),
    DPMSolverPP(2, eta=1.0),
    LMS(),
    DEIS(),
    IPNDM(),
    PNDM(),
    SASolver(),
    Restart(Heun(), [(1, 4, 2)]),
    RePaint(jump_length=4, times=2),
    Ancestral(),
]


def of_betas(betas: Any, x: Any, sampler: Any) -> Any:
    return sample(network, Schedule.from_betas(betas), sampler, x, noise=lambda x: 0.1 * x)


@cache
def in_one_program() -> dict[Any, Any]:
    """Return a sample of each sampler by one program, which is compiled in half of the time of 15.

    None of any, where the program cannot be made: then each is compiled by itself.
    """
    try:
        images = jax.jit(lambda betas, x: [of_betas(betas, x, sampler) for sampler in SAMPLERS])
        return dict(zip(SAMPLERS, images(*SINGLE), strict=True))
    except Exception:
        return {}


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_every_family_of_samplers_makes_its_table_of_traced_numbers(sampler: Any) -> None:
    got = in_one_program().get(sampler)
    if got is None:
        got = jax.jit(lambda betas, x: of_betas(betas, x, sampler))(*SINGLE)
    np.testing.assert_allclose(got, of_betas(BETAS, X, sampler), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("variance", ["learned_range", "learned"])
def test_a_learned_variance_is_bounded_by_traced_numbers(variance: Any) -> None:
    def model(x: Any, timesteps: Any) -> Any:
        xp = np if isinstance(x, np.ndarray) else jnp
        return xp.concat([network(x, timesteps), xp.sin(x)], axis=1)

    def image(betas: Any, x: Any) -> Any:
        schedule = Schedule.from_betas(betas)
        return sample(model, schedule, DDPM(variance), x, noise=lambda x: 0.1 * x)

    got = jax.jit(image)(jnp.asarray(BETAS, dtype="float32"), jnp.asarray(X, dtype="float32"))
    np.testing.assert_allclose(got, image(BETAS, X), rtol=1e-3, atol=1e-4)


def test_noise_is_keyed_by_row_where_levels_are_traced() -> None:
    """With networks that predict 0, DDPM's x is a sum of the draws, each with its coefficient."""
    seeds = np.array([5, 6])
    keys = np.array([[5, 0], [6, 0]], dtype=np.uint64)
    plan = DDPM().plan(Schedule.from_betas(BETAS))
    x = X
    for k, (a, c) in enumerate(zip(plan.a, plan.c, strict=True)):
        x = a * x + c * philox.normal(keys, (k, 0, philox.STEP), 3)

    def image(betas: Any, seeds: Any, x: Any) -> Any:
        schedule = Schedule.from_betas(betas)
        return sample(lambda x, t: 0 * x, schedule, DDPM(), x, noise=seeds, prediction="x0")

    given = jnp.asarray(BETAS, "float32"), jnp.asarray(seeds), jnp.asarray(X, "float32")
    np.testing.assert_allclose(jax.jit(image)(*given), x, rtol=1e-4, atol=1e-5)


def test_vmap_over_schedules_runs_each_as_alone() -> None:
    def image(betas: Any) -> Any:
        x = jnp.asarray(X, dtype="float32")
        return sample(network, Schedule.from_betas(betas), UniPC(2), x)

    many = jnp.asarray(np.stack([BETAS, BETAS / 2]), dtype="float32")
    for got, betas in zip(jax.jit(jax.vmap(image))(many), (BETAS, BETAS / 2), strict=True):
        exact = sample(network, Schedule.from_betas(betas), UniPC(2), X)
        np.testing.assert_allclose(got, exact, rtol=1e-3, atol=1e-4)


def test_zero_signal_at_the_end_is_kept() -> None:
    betas = np.array([0.1, 0.5, 1.0])
    with jax.enable_x64(True):
        changes: list[Callable[[Schedule], Schedule]] = [
            lambda s: s,
            lambda s: s[:2].rescale_zero_terminal_snr(),
        ]
        for change in changes:
            got = jax.jit(
                lambda b, change=change: change(Schedule.from_betas(b)).to_alphas_cumprod()
            )
            exact = change(Schedule.from_betas(betas)).to_alphas_cumprod()
            np.testing.assert_allclose(got(jnp.asarray(betas)), exact, rtol=1e-13)


def test_what_has_to_see_numbers_says_so() -> None:
    def traced(use: Callable[[Schedule], Any]) -> Any:
        return jax.jit(lambda b: use(Schedule.from_betas(b)) or b)(jnp.asarray(BETAS))

    x = jnp.asarray(X, dtype="float32")
    for use in (
        lambda s: s == Schedule.from_betas(jnp.asarray(BETAS)),
        lambda s: s.at(2.5),
        lambda s: s.subsample(steps=3, spacing="log_snr"),
        lambda s: s.to_dict(),
        lambda s: sample(network, s, Midpoint(), x),
        lambda s: sample(network, s, Euler(s_churn=1.0), x),
    ):
        with pytest.raises(TypeError, match="this needs to see numbers that JAX traces"):
            traced(use)
    shown = []
    traced(lambda s: shown.append(repr(s)))
    assert shown == ["<Schedule vp: 9 points, traced>"]


def test_what_can_be_seen_is_checked_under_grad() -> None:
    with pytest.raises(ValueError, match=r"betas\[1\] is 2.0"):
        jax.grad(lambda b: Schedule.from_betas(b).alpha.sum())(jnp.asarray([0.1, 2.0, 0.3]))
