"""The density of what a row draws: that of the draw it made, for every sampler that adds noise."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import mpmath
import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    DPMSolverPP,
    DynamicThreshold,
    Plan,
    SASolver,
    Schedule,
    begin,
    log_prob,
    network_input,
    transition,
)
from tests.bad_input import check_named
from tests.libraries import Library, host, lib
from tests.registry.samplers import SAMPLERS

__all__ = ["lib"]

FAST = Schedule.linear(1000).subsample(steps=12)
FEW = Schedule.linear(1000).subsample(steps=5)
X = np.random.default_rng(3).standard_normal((3, 2, 2))
NOISE = np.random.default_rng(4).standard_normal((60, *X.shape))


def network(x: Any, timesteps: Any) -> Any:
    return 0.5 * x - 0.1 * x**3 / (1 + x**2)


def learned(x: Any, timesteps: Any) -> Any:
    return np.concatenate([network(x, timesteps), np.tanh(x)], axis=1)


PLANS: dict[str, Plan] = {
    name: plan
    for name, entry in SAMPLERS.items()
    if np.any((plan := entry.sampler.plan(FAST)).c != 0)
}
PLANS["DDPM learned"] = DDPM("learned").plan(FAST)
PLANS["DDPM learned range"] = DDPM("learned_range").plan(FAST)
EVERY = pytest.mark.parametrize("name", PLANS)


class Taken(NamedTuple):
    """A row that a run has taken."""

    row: int
    x: np.ndarray
    output: np.ndarray
    memories: list[np.ndarray]
    after: np.ndarray
    z: np.ndarray


def taken(plan: Plan, noise: Callable[[int], np.ndarray], **how: Any) -> Iterator[Taken]:
    """Yield every row of a run that adds noise."""
    drawn: list[np.ndarray] = []

    def draw(x: np.ndarray) -> np.ndarray:
        drawn.append(noise(len(drawn)))
        return drawn[-1]

    r = begin(plan, X, noise=draw, **how)
    model = network if plan.log_variance is None else learned
    while not r.done:
        k, x, memories, before = r.row, r.x, r.memories(), len(drawn)
        output = model(r.input, r.timesteps)
        r.advance(output)
        if len(drawn) > before:
            yield Taken(k, x, output, memories, r.x, drawn[-1])


def normal(z: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return the log-density of normal draws, by its formula."""
    return -(z**2) / 2 - np.log(std) - math.log(2 * math.pi) / 2


def density(plan: Plan, at: Taken) -> Any:
    """Return the mean, the standard deviation and the log-density of a row."""
    mean, std = transition(plan, at.row, at.x, at.output, memories=at.memories)
    return mean, std, log_prob(plan, at.row, at.x, at.output, at.after, memories=at.memories)


@EVERY
def test_it_is_the_density_of_the_draw_that_was_made(name: str) -> None:
    plan, rows = PLANS[name], 0
    for at in taken(plan, NOISE.__getitem__):
        mean, std, total = density(plan, at)
        np.testing.assert_allclose((at.after - mean) / std, at.z, rtol=1e-9, atol=1e-9)
        each = normal(at.z, np.broadcast_to(std, X.shape))
        np.testing.assert_allclose(total, each.sum(axis=(1, 2)), rtol=1e-9)
        if plan.log_variance is None:
            assert std.shape == (1, 1, 1)
            assert std.item() == plan.c[at.row]
        else:
            low, high = plan.log_variance[at.row]
            interpolated = (low + high) / 2 + (high - low) / 2 * at.output[:, 2:]
            expected = plan.c[at.row] * np.exp(interpolated / 2)
            np.testing.assert_allclose(std, expected, rtol=1e-13)
        rows += 1
    assert rows == np.count_nonzero(plan.c)


@EVERY
def test_without_noise_a_run_goes_to_the_mean_bit_for_bit(name: str) -> None:
    plan = PLANS[name]
    for at in taken(plan, lambda count: np.zeros(X.shape)):
        mean, _, _ = density(plan, at)
        np.testing.assert_array_equal(mean, at.after)


@pytest.mark.parametrize("clip", [(-0.5, 0.5), DynamicThreshold()])
def test_bounds_of_x0_are_in_the_mean(clip: Any) -> None:
    plan = DDPM().plan(FEW)
    bounded = list(taken(plan, lambda count: np.zeros(X.shape), clip=clip))
    for at in bounded:
        mean, _ = transition(plan, at.row, at.x, at.output, clip=clip)
        np.testing.assert_array_equal(mean, at.after)
    first = bounded[0]
    free, _ = transition(plan, 0, first.x, first.output)
    assert np.abs(free - first.after).max() > 1e-3
    rows = [2, 0, 3]
    x, output = (
        np.stack([getattr(bounded[k], part)[i] for i, k in enumerate(rows)])
        for part in ("x", "output")
    )
    mean, _ = transition(plan, rows, x, output, clip=clip)
    after = np.stack([bounded[k].after[i] for i, k in enumerate(rows)])
    np.testing.assert_allclose(mean, after, rtol=1e-13, atol=1e-13)


@EVERY
def test_samples_at_rows_of_their_own_have_the_densities_of_these_rows(name: str) -> None:
    plan = PLANS[name]
    all_taken = list(taken(plan, NOISE.__getitem__))
    first, middle, last = all_taken[0], all_taken[len(all_taken) // 2], all_taken[-1]
    mixed = [last, first, middle]
    depth = max(len(at.memories) for at in mixed)
    filled = [[X * np.nan] * (depth - len(at.memories)) + at.memories for at in mixed]
    rows = np.array([at.row for at in mixed])
    x, output, after = (
        np.stack([getattr(at, part)[i] for i, at in enumerate(mixed)])
        for part in ("x", "output", "after")
    )
    memories = [np.stack([filled[i][j][i] for i in range(3)]) for j in range(depth)]
    total = log_prob(plan, rows, x, output, after, memories=memories)
    expected = [density(plan, at)[2][i] for i, at in enumerate(mixed)]
    np.testing.assert_allclose(total, expected, rtol=1e-9)
    _, std = transition(plan, rows, x, output, memories=memories)
    assert std.shape == ((3, 1, 1) if plan.log_variance is None else X.shape)


def test_it_integrates_to_1() -> None:
    plan, x, output = DDIM(eta=0.7).plan(FEW), np.array([[0.3]]), np.array([[0.8]])
    for row in range(4):
        mean, std = (part.item() for part in transition(plan, row, x, output))
        grid = np.linspace(mean - 12 * std, mean + 12 * std, 400)[:, None]
        many = np.ones((400, 1))
        density = np.exp(log_prob(plan, row, x * many, output * many, grid))
        assert abs(density.sum() * (grid[1, 0] - grid[0, 0]) - 1) < 1e-13


def test_the_divergence_of_two_networks_is_known() -> None:
    """log(p/q) is quadratic in the draw, so that the mean over draws ±1 is that over all."""
    plan = DDPM("learned_range").plan(FEW)
    rng = np.random.default_rng(0)
    outputs = [rng.standard_normal((3, 4, 2)) for _ in range(2)]
    for row in range(4):
        (m, s), (other_m, other_s) = (transition(plan, row, X, each) for each in outputs)
        draws = [m + z * s for z in (-1.0, 1.0)]
        p, q = (
            np.mean([log_prob(plan, row, X, each, draw) for draw in draws], axis=0)
            for each in outputs
        )
        kl = np.log(other_s / s) + (s**2 + (m - other_m) ** 2) / (2 * other_s**2) - 0.5
        np.testing.assert_allclose(p - q, kl.sum(axis=(1, 2)), rtol=1e-10)


def test_the_divergence_from_the_true_x0_is_the_cost_of_the_step() -> None:
    plan, error = DDPM().plan(FEW), 0.3
    costs = FEW.step_costs([error**2] * 5)[::-1]
    for row in range(4):
        m, s = transition(plan, row, X, X, prediction="x0")
        other, _ = transition(plan, row, X, X + error, prediction="x0")
        np.testing.assert_allclose((m - other) ** 2 / (2 * s**2), costs[row], rtol=1e-11)


def test_any_library_gives_the_same_densities(lib: Library) -> None:
    plan = SASolver().plan(FEW)
    at = list(taken(plan, NOISE.__getitem__))[1]
    expected = density(plan, at)[2]
    for dtype in sorted({"float32", lib.widest}):
        rtol = 1e-4 if dtype == "float32" else 1e-12
        x, output, after, memory = (
            lib.array(values, dtype) for values in (at.x, at.output, at.after, *at.memories)
        )
        total = log_prob(plan, at.row, x, output, after, memories=[memory])
        assert lib.is_mine(total)
        np.testing.assert_allclose(host(total), expected, rtol=rtol)
        each = log_prob(plan, [1] * 3, x, output, after, memories=[memory], per_element=True)
        assert str(each.dtype).endswith(lib.widest)
        np.testing.assert_allclose(host(each).sum(axis=(1, 2)), expected, rtol=rtol)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_equal_weights_have_the_ratio_1_and_a_gradient(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    kind, plan = getattr(torch, dtype), DDIM(eta=1.0).plan(FEW)
    policy = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    policy = policy.to(kind)
    x, after = (torch.tensor(part).to(kind) for part in NOISE[:2, :, 0, :])
    for row in (0, 3, [2, 0, 3]):
        with torch.no_grad():
            old = log_prob(plan, row, x, policy(x), after)
        ratio = torch.exp(log_prob(plan, row, x, policy(x), after) - old)
        assert (ratio == 1).all()
        policy.zero_grad()
        ratio.sum().backward()
        assert all(bool((p.grad != 0).any()) for p in policy.parameters())


@pytest.mark.parametrize(
    "sampler",
    [SASolver(), SASolver(order=3, corrector_order=3), DPMSolverPP(order=3, eta=1.0)],
    ids=repr,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_row_for_all_and_a_row_for_each_give_the_same_bits(sampler: Any, dtype: str) -> None:
    plan, x = sampler.plan(FAST), X.astype(dtype)
    r = begin(plan, x, noise=7)
    while not r.done:
        row, before, output, memories = r.row, r.x, network(r.input, None), r.memories()
        r.advance(output)
        if plan.c[row] != 0:
            one, each = (
                log_prob(plan, rows, before, output, r.x, memories=memories, per_element=True)
                for rows in (row, [row] * len(x))
            )
            assert (one == each).all()


def test_sums_over_many_elements_keep_their_digits() -> None:
    """In float32 the sum of this many elements is a multiple of 1/128."""
    torch = pytest.importorskip("torch")
    plan, x = DDPM().plan(FEW), torch.zeros(1, 2**17)
    total = log_prob(plan, 0, x, x, x)
    assert total.dtype == torch.float64
    expected = 2**17 * normal(np.zeros(()), plan.c[0])
    np.testing.assert_allclose(total.numpy(), expected, rtol=1e-13)
    bent = log_prob(plan, 0, x, x, torch.full_like(x, 1e-4))
    np.testing.assert_allclose(
        (total - bent).numpy(), 2**17 * 1e-8 / (2 * plan.c[0] ** 2), rtol=1e-2
    )


@pytest.mark.parametrize("row", [0, 2, [3, 0, 1]])
def test_float32_does_not_round_the_std_of_many_elements(row: Any) -> None:
    """Times 2^16 elements, the rounding of std and of its logarithm would be up to .004 nats."""
    plan, shape = DDPM().plan(FEW), (3, 2**16)
    x, z = np.zeros(shape, np.float32), np.random.default_rng(0).standard_normal(shape)
    std = np.broadcast_to(plan.c[row], 3)[:, None]
    after = (std * z).astype(np.float32)
    expected = normal(after / std, std).sum(axis=1)
    np.testing.assert_allclose(log_prob(plan, row, x, x, after), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["DDPM", "DDPM learned range"])
@pytest.mark.parametrize("row", [1, [3, 0]])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_the_density_of_float32_has_the_digits_of_float64(
    name: str, row: Any, library: str
) -> None:
    """Of what the run has made, all numbers of float32, in 30 digits."""
    made = pytest.importorskip("torch").from_numpy if library == "torch" else np.asarray
    plan, rng = PLANS[name], np.random.default_rng(2)
    x, after = (rng.standard_normal((2, 2, 3)).astype(np.float32) for _ in range(2))
    channels = 2 if plan.log_variance is None else 4
    output = np.tanh(rng.standard_normal((2, channels, 3))).astype(np.float32)
    given, said_of = made(x), made(output)
    mean = host(transition(plan, row, given, said_of).mean)
    assert mean.dtype == np.float32
    expected = np.empty(x.shape)
    with mpmath.workdps(30):
        for place in np.ndindex(x.shape):
            k = np.broadcast_to(row, 2)[place[0]]
            log_std = mpmath.log(mpmath.mpf(plan.c[k]))
            if plan.log_variance is not None:
                low, high = map(mpmath.mpf, plan.log_variance[k])
                said = mpmath.mpf(float(output[place[0], place[1] + 2, place[2]]))
                log_std += ((low + high) / 2 + (high - low) / 2 * said) / 2
            z = (mpmath.mpf(float(after[place])) - float(mean[place])) / mpmath.exp(log_std)
            expected[place] = -(z**2) / 2 - log_std - mpmath.log(2 * mpmath.pi) / 2
    each = log_prob(plan, row, given, said_of, made(after), per_element=True)
    np.testing.assert_allclose(host(each), expected, rtol=1e-14, atol=1e-14)
    total = log_prob(plan, row, given, said_of, made(after))
    np.testing.assert_allclose(host(total), expected.sum(axis=(1, 2)), rtol=1e-14)


def test_the_gradient_is_that_of_the_formula() -> None:
    """By the output, it is (after - mean) / std² times the coefficient of the output."""
    torch = pytest.importorskip("torch")
    for plan in (DDPM().plan(FEW), SASolver().plan(FEW)):
        for at in list(taken(plan, NOISE.__getitem__))[:3]:
            mean, std, _ = density(plan, at)
            there, _ = transition(plan, at.row, at.x, at.output + 1, memories=at.memories)
            output = torch.tensor(at.output, requires_grad=True)
            x, after = torch.tensor(at.x), torch.tensor(at.after)
            memories = [torch.tensor(memory) for memory in at.memories]
            log_prob(plan, at.row, x, output, after, memories=memories).sum().backward()
            expected = (at.after - mean) / std**2 * (there - mean)
            np.testing.assert_allclose(output.grad.numpy(), expected, rtol=1e-9, atol=1e-9)


def test_the_gradient_of_a_learned_variance_is_followed() -> None:
    torch = pytest.importorskip("torch")
    plan, at = (
        PLANS["DDPM learned range"],
        next(taken(PLANS["DDPM learned range"], NOISE.__getitem__)),
    )
    x, after = torch.tensor(at.x), torch.tensor(at.after)
    output = torch.tensor(at.output, requires_grad=True)
    for row in (at.row, [3, 0, 5]):
        assert torch.autograd.gradcheck(
            lambda output, row=row: log_prob(plan, row, x, output, after), (output,)
        )
    log_prob(plan, at.row, x, output, after).sum().backward()
    assert (output.grad[:, 2:] != 0).all()


def test_jax_follows_the_gradient_and_compiles() -> None:
    jax = pytest.importorskip("jax")
    plan = DDPM().plan(FEW)
    x, after = jax.numpy.asarray(X), jax.numpy.asarray(X[::-1])

    def loss(weight: Any, row: Any) -> Any:
        return log_prob(plan, row, x, weight * x, after).sum()

    def by_hand(weight: float, row: Any) -> float:
        return float(log_prob(plan, row, X, weight * X, X[::-1]).sum())

    for row in (1, [0, 3, 2]):
        slope = jax.grad(loss)(0.3, row)
        expected = (by_hand(0.301, row) - by_hand(0.299, row)) / 0.002
        np.testing.assert_allclose(slope, expected, rtol=1e-3)
    compiled = jax.jit(loss, static_argnums=1)(0.3, 1)
    np.testing.assert_allclose(compiled, by_hand(0.3, 1), rtol=1e-5)


def test_a_gradient_flows_to_the_schedule() -> None:
    torch = pytest.importorskip("torch")
    factor = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)

    def total(factor: Any) -> Any:
        plan = DDPM().plan(FEW.shift(factor))
        return log_prob(plan, 1, torch.tensor(X), torch.tensor(X), torch.tensor(NOISE[0])).sum()

    total(factor).backward()
    expected = (total(1.5001) - total(1.4999)) / 0.0002
    np.testing.assert_allclose(factor.grad.item(), expected.item(), rtol=1e-6)


def test_torch_compiles_it() -> None:
    torch = pytest.importorskip("torch")
    plan = DDPM().plan(FEW)
    x, after = torch.tensor(X), torch.tensor(X[::-1].copy())

    def loss(weight: Any) -> Any:
        return log_prob(plan, 1, x, weight * x, after).sum()

    compiled = torch.compile(loss, backend="eager", fullgraph=True)
    weight = torch.tensor(0.3, dtype=torch.float64)
    assert compiled(weight) == loss(weight)


ROW = DDPM().plan(FEW)
SA = SASolver().plan(FEW)


def jitted(row: Any) -> Any:
    """Ask for a log-density in a function of JAX that the row is an argument of."""
    jax = pytest.importorskip("jax")
    x = np.ones((1, 2), np.float32)
    return jax.jit(lambda k: log_prob(ROW, k, x, x, x))(np.array(row))


def test_no_samples_at_rows_of_their_own() -> None:
    none = X[:0]
    rows: list[Any] = [0, [], np.zeros(0, dtype=int)]
    for row in rows:
        assert log_prob(ROW, row, none, none, none).shape == (0,)
        assert network_input(ROW, row, none).timesteps.shape == (0,)


CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "no plan": (lambda: transition(FEW, 0, X, X), TypeError, ["plan", "Schedule"]),
    "row beyond": (lambda: transition(ROW, 5, X, X), ValueError, ["row is 5", "0 to 4"]),
    "row negative": (lambda: transition(ROW, -1, X, X), ValueError, ["row is -1", "0 to 4"]),
    "row a float": (lambda: transition(ROW, 0.5, X, X), TypeError, ["row", "0.5"]),
    "rows beyond": (lambda: transition(ROW, [0, 7, 0], X, X), ValueError, ["row[1] is 7"]),
    "rows of floats": (lambda: transition(ROW, [0.0] * 3, X, X), TypeError, ["row", "integers"]),
    "rows too few": (lambda: transition(ROW, [0, 1], X, X), ValueError, ["row", "3", "got 2"]),
    "no noise": (
        lambda: log_prob(ROW, 4, X, X, X),
        ValueError,
        ["row is 4", "no noise", "[0, 1, 2, 3]"],
    ),
    "no noise in one": (
        lambda: log_prob(ROW, [0, 4, 1], X, X, X),
        ValueError,
        ["row[1] is 4", "no noise"],
    ),
    "no noise at all": (
        lambda: log_prob(DDIM().plan(FEW), 0, X, X, X),
        ValueError,
        ["row is 0", "no row of this plan adds noise"],
    ),
    "memories missing": (
        lambda: transition(SA, 2, X, X),
        ValueError,
        ["memories", "2 arrays", "Run.memories()", "got 0"],
    ),
    "memories too many": (
        lambda: transition(ROW, 2, X, X, memories=[X]),
        ValueError,
        ["memories", "0 arrays", "got 1"],
    ),
    "a memory unlike x": (
        lambda: transition(SA, 1, X, X, memories=[X[:1]]),
        ValueError,
        ["memories[0]", "(3, 2, 2)", "(1, 2, 2)"],
    ),
    "after": (lambda: log_prob(ROW, 0, X, X, X[:1]), ValueError, ["after", "(1, 2, 2)"]),
    "a traced row": (lambda: jitted(1), ValueError, ["row is traced", "must be known"]),
    "traced rows": (lambda: jitted([1]), ValueError, ["row is traced", "must be known"]),
    "output": (lambda: log_prob(ROW, 0, X, X[:1], X), ValueError, ["output", "(1, 2, 2)"]),
    "no learned variance": (
        lambda: transition(PLANS["DDPM learned"], 0, X, X),
        ValueError,
        ["learned variance", "twice the channels"],
    ),
    "flag": (lambda: log_prob(ROW, 0, X, X, X, per_element=1), TypeError, ["per_element", "1"]),
    "no rows": (lambda: network_input(DDPM().plan(FEW[:0]), 0, X), ValueError, ["no rows", "row"]),
    "of SDE-2M": (
        lambda: transition(DPMSolverPP(order=2, eta=1.0).plan(FEW), 3, X, X),
        ValueError,
        ["memories", "1 arrays"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
