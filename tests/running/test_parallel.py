"""`parallel`: the bits of `run`, by few calls of the network, each for many rows."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schedalg import (
    DDIM,
    DDPM,
    LCM,
    ClassifierFreeGuidance,
    Denoiser,
    DPMSolverPP,
    DynamicThreshold,
    EulerAncestral,
    Schedule,
    begin,
    parallel,
    run,
)
from schedalg.arrays import namespace
from schedalg.running.calling import NetworkOptions
from schedalg.running.parallel import all_rows
from tests.bad_input import LINEAR, PLAN, X, check_named
from tests.libraries import Library, host, lib
from tests.registry.samplers import SAMPLERS

__all__ = ["lib"]

TWELVE = {
    "vp": Schedule.linear(1000).subsample(steps=12),
    "ve": Schedule.karras(12),
    "flow": Schedule.flow(12),
}
BASE = Schedule.linear(1000)
MANY = BASE.subsample(steps=50)
#: With the outputs in place of the x0 predictions, these take 30, 35 and 41.
MOST = {DDIM: 20, DPMSolverPP: 21, DDPM: 22}
NOISE = np.random.default_rng(0).standard_normal((3, 4))


def network(x: Any, timesteps: Any, shift: Any = 0.0) -> Any:
    """A network of which every operation is rounded alike, wherever in a batch a sample is."""
    xp = namespace(x)
    t = xp.reshape(xp.astype(timesteps, x.dtype), (-1,) + (1,) * (x.ndim - 1))
    return x / (1 + x * x) + t / (1000 + t) + shift


def sequential(plan: Any, model: Any, x: Any, **options: Any) -> list[Any]:
    """Return x before every row and after the last one."""
    r = begin(plan, x, **options)
    states = [r.x]
    while not r.done:
        r.advance(model(r.input, r.timesteps))
        states.append(r.x)
    return states


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(sorted(SAMPLERS)),
    kind=st.sampled_from(sorted(TWELVE)),
    prediction=st.sampled_from(["x0", "epsilon", "v", "flow"]),
    clip=st.sampled_from([None, (-1.0, 1.0), DynamicThreshold(0.9)]),
    window=st.none() | st.integers(1, 15),
)
def test_after_j_sweeps_j_states_are_those_of_a_run(
    name: str, kind: str, prediction: Any, clip: Any, window: int | None
) -> None:
    s = TWELVE[kind]
    plan, x = SAMPLERS[name].sampler.plan(s), s.prior_std * NOISE
    calls: list[int] = []

    def counted(x: Any, timesteps: Any) -> Any:
        calls.append(len(x) // len(NOISE))
        return network(x, timesteps)

    if prediction != "flow" or clip is not None:
        assume(plan.sigma.min() > 0)  # at clean data, other networks tell no slope
    if prediction == "epsilon":
        assume(plan.alpha.min() > 0)  # nor x0 in pure noise
    wanted = sequential(plan, network, x, prediction=prediction, clip=clip, noise=5)
    rows = all_rows(plan, counted, x, NetworkOptions(prediction, clip, False, {}), 5, 0.0, window)
    sweeps = 0
    while not rows.done:
        rows.sweep()
        sweeps += 1
        assert rows.front >= sweeps
        right = zip(rows.states[: rows.front + 1], wanted, strict=False)
        assert all(np.array_equal(state, each) for state, each in right)
    assert len(calls) == sweeps <= len(plan)
    assert max(calls) <= (window or len(plan))
    assert np.array_equal(
        rows.states[-1], run(plan, network, x, prediction=prediction, clip=clip, noise=5)
    )


def test_every_library_has_the_bits_of_its_run(lib: Library) -> None:
    # JAX compiles every operation for every number of rows.
    s = TWELVE["vp"]
    samplers: list[Any] = [DDPM(), DPMSolverPP(order=2)]
    dtypes = [lib.widest]
    if lib.name == "numpy":
        dtypes += ["float32", "float16"]
    elif lib.name.startswith("jax"):
        s, samplers = s[[3, 11]], [DPMSolverPP(order=2, eta=1.0)]
    for sampler, dtype in itertools.product(samplers, dtypes):
        plan, x = sampler.plan(s), lib.array(NOISE, dtype)
        result = parallel(plan, network, x, prediction="v", noise=[3, 4, 5])
        wanted = run(plan, network, x, prediction="v", noise=[3, 4, 5])
        assert lib.is_mine(result)
        assert result.dtype == x.dtype
        assert np.array_equal(host(result), host(wanted))


@pytest.mark.parametrize("sampler", [DDIM(), DPMSolverPP(), DDPM()])
def test_few_sweeps_are_enough(sampler: Any) -> None:
    plan, calls = sampler.plan(MANY), 0

    def smooth(x: Any, timesteps: Any) -> Any:  # of data N(0, 1/4) with a twist, epsilon
        nonlocal calls
        calls += 1
        alpha, sigma = (scale[timesteps][:, None] for scale in (BASE.alpha, BASE.sigma))
        x0 = alpha * x / (alpha**2 + 4 * sigma**2) * (1 + 0.1 * x / (1 + x * x))
        return (x - alpha * x0) / sigma

    exact = run(plan, smooth, NOISE, noise=1)
    calls = 0
    assert (parallel(plan, smooth, NOISE, noise=1) == exact).all()
    assert calls <= MOST[type(sampler)]
    before, calls = calls, 0
    close = parallel(plan, smooth, NOISE, noise=1, tolerance=1e-5)
    assert calls < before
    np.testing.assert_allclose(close, exact, rtol=0, atol=1e-3)
    assert np.isfinite(parallel(plan, smooth, NOISE, noise=1, tolerance=np.inf)).all()


def test_a_state_is_not_right_because_it_stands_still() -> None:
    # x0 is a sign, and x after a step a function of it alone: it stands still until the sign flips,
    # whatever x before the step does.
    def signs(x: Any, timesteps: Any) -> Any:
        return np.sign(x)

    plan = LCM().plan(TWELVE["vp"])
    for seed in range(20):
        result = parallel(plan, signs, NOISE, prediction="x0", noise=seed)
        assert (result == run(plan, signs, NOISE, prediction="x0", noise=seed)).all()


def test_conditions_are_repeated_for_the_rows() -> None:
    plan, shift = DDIM().plan(TWELVE["vp"]), np.arange(3.0)[:, None]
    result = parallel(plan, network, NOISE, shift=shift)
    assert (result == run(plan, network, NOISE, shift=shift)).all()
    nested = parallel(
        plan, lambda x, t, c: network(x, t, c["shift"][0]), NOISE, c={"shift": [shift]}
    )
    assert (nested == result).all()
    guided = ClassifierFreeGuidance(network, 2.0, {"shift": shift}, {"shift": 0 * shift})
    assert (parallel(plan, guided, NOISE) == run(plan, guided, NOISE)).all()
    denoise = Denoiser(network, TWELVE["vp"], "v", model_kwargs={"shift": shift})
    assert (parallel(plan, denoise, NOISE) == run(plan, denoise, NOISE)).all()


def test_a_gradient_goes_through_all_rows_without_a_warning() -> None:
    torch = pytest.importorskip("torch")
    plan, gradients = DDIM().plan(TWELVE["vp"][:4]), []
    for how in (parallel, run):
        x = torch.ones((2, 3), dtype=torch.float64, requires_grad=True)
        result = how(plan, lambda x, t: torch.sin(x), x)
        gradients.append(torch.autograd.grad(result.sum(), x)[0])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=0.0)


def test_a_learned_variance_is_taken_row_by_row() -> None:
    def both(x: Any, timesteps: Any) -> Any:
        return np.concatenate([network(x, timesteps), x / (1 + abs(x))], axis=1)

    plan = DDPM("learned_range").plan(TWELVE["vp"])
    assert (parallel(plan, both, NOISE, noise=2) == run(plan, both, NOISE, noise=2)).all()


def test_no_rows_and_no_samples_are_done_at_once() -> None:
    assert parallel(DDIM().plan(LINEAR[:0]), network, X) is X
    assert parallel(PLAN, network, X[:0]).shape == (0, 3)


def jitted() -> Any:
    jax = pytest.importorskip("jax")
    return jax.jit(lambda x: parallel(PLAN, network, x))(X.astype(np.float32))


BAD: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "a sampler": (lambda: parallel(DDIM(), network, X), TypeError, ["plan", "DDIM"]),
    "x that is a list": (lambda: parallel(PLAN, network, [1.0]), TypeError, ["x", "list"]),
    "a tolerance below 0": (
        lambda: parallel(PLAN, network, X, tolerance=-1.0),
        ValueError,
        ["tolerance", "-1.0", "at least 0"],
    ),
    "a tolerance that is no number": (
        lambda: parallel(PLAN, network, X, tolerance="1"),
        TypeError,
        ["tolerance"],
    ),
    "no window": (lambda: parallel(PLAN, network, X, window=0), ValueError, ["window", "0"]),
    "a generator": (
        lambda: parallel(DDPM().plan(LINEAR), network, X, noise=np.random.default_rng(0)),
        ValueError,
        ["noise", "seed"],
    ),
    "a denoiser made of a function": (
        lambda: parallel(PLAN, Denoiser.from_function(lambda x, t: x, LINEAR), X),
        TypeError,
        ["model", "one noise level"],
    ),
    "no variance": (
        lambda: parallel(DDPM("learned").plan(LINEAR), network, X, noise=1),
        ValueError,
        ["learned variance"],
    ),
    "a network of one row": (
        lambda: parallel(PLAN, lambda x, t: x[:2], X),
        ValueError,
        ["model output", "shape"],
    ),
    "NaN": (
        lambda: parallel(PLAN, lambda x, t: np.where(t[:, None] < 3, np.nan, 0.1) * x, X),
        ValueError,
        ["x after row 7", "NaN", "timestep 2"],
    ),
    "under jit": (jitted, ValueError, ["x", "traced"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    check_named(*BAD[case])


def test_noise_at_random_is_the_same_in_every_sweep() -> None:
    plan = EulerAncestral().plan(TWELVE["vp"])
    results = [parallel(plan, network, NOISE) for _ in range(2)]
    assert np.isfinite(results[0]).all()
    assert (results[0] != results[1]).any()
