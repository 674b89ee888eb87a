"""Log-likelihoods by the probability flow: closed forms, orders, and estimates of the trace."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import Denoiser, Euler, Heun, Midpoint, Point, Schedule, Tableau, log_likelihood
from schedalg.samplers.runge_kutta import CLASSIC
from schedalg.testing import Mixture
from tests.bad_input import LINEAR, check_named
from tests.libraries import INSTALLED, Library, host, lib

__all__ = ["lib"]

GAUSSIAN = Mixture([0.3], [0.5])
PEAKS = Mixture([-0.8, 0.5], [0.25, 0.4], [0.4, 0.6])
X = np.linspace(-1.5, 1.5, 12).reshape(12, 1)
#: The libraries that follow gradients.
FOLLOW = ("torch", "jax", "jax64")
EVEN = Schedule.from_log_snr(np.linspace(6, -6, 21))
RNG = np.random.default_rng(0)


def log_densities(data: Mixture, x: np.ndarray, t: Point) -> np.ndarray:
    """Return the log-density at a point of each component, with its weight."""
    weights = data.weights or ()
    parts = zip(weights, data.means, data.spreads, strict=True)
    found = [
        math.log(w) - (x - t.alpha * m) ** 2 / (2 * v) - math.log(2 * math.pi * v) / 2
        for w, m, v in ((w, m, t.alpha**2 * s**2 + t.sigma**2) for w, m, s in parts)
    ]
    return np.stack(found)


def log_density(data: Mixture, x: np.ndarray, t: Point) -> np.ndarray:
    return np.asarray(np.logaddexp.reduce(log_densities(data, x, t)))


def derivative(data: Mixture) -> Callable[[np.ndarray, Point], np.ndarray]:
    """Return the trace of dE[x0|x]/dx, which is (alpha/sigma²) Var[x0|x]."""

    def trace(x: np.ndarray, t: Point) -> np.ndarray:
        shares = log_densities(data, x, t)
        shares = np.exp(shares - np.logaddexp.reduce(shares))
        first = second = np.zeros(x.shape)
        for share, m, s in zip(shares, data.means, data.spreads, strict=True):
            variance = t.alpha**2 * s**2 + t.sigma**2
            mean = m + t.alpha * s**2 / variance * (x - t.alpha * m)
            first = first + share * mean
            second = second + share * (mean**2 + s**2 * t.sigma**2 / variance)
        trace = t.alpha / t.sigma**2 * (second - first**2)
        return np.asarray(trace.reshape(len(x), -1).sum(axis=1))

    return trace


def exact(data: Mixture, schedule: Schedule, x: np.ndarray) -> np.ndarray:
    """Return the log-density of what the exact flow makes of noise at the last point."""
    first, last, std = schedule[0], schedule[-1], float(schedule.prior_std)
    at = first.alpha * x
    end = data.flow(at, last, first) if last.alpha == 0 else data.flow(at, first, last)
    prior = -(end**2) / (2 * std**2) - math.log(2 * math.pi * std**2) / 2
    change = log_density(data, at, first) - log_density(data, end, last)
    return np.asarray((prior + change + math.log(first.alpha)).sum(axis=1))


@pytest.mark.parametrize("data", [GAUSSIAN, PEAKS], ids=["Gaussian", "two peaks"])
@pytest.mark.parametrize("method", [Euler(), Heun(), Midpoint(), None], ids=repr)
def test_it_converges_to_the_closed_form_in_the_order_of_the_method(
    data: Mixture, method: Any
) -> None:
    tableau, errors = CLASSIC if method is None else method.tableau, []
    for steps in (40, 80):
        schedule = Schedule.from_log_snr(np.linspace(6, -6, steps + 1))
        result = log_likelihood(
            data.denoiser(schedule), schedule, X, tableau=tableau, divergence=derivative(data)
        )
        errors.append(np.abs(result.nats - exact(data, schedule, X)).max())
    assert abs(math.log2(errors[0] / errors[1]) - tableau.order) < 0.15
    assert errors[1] < (1e-6 if method is None else 0.05)


@pytest.mark.parametrize("data", [GAUSSIAN, PEAKS], ids=["Gaussian", "two peaks"])
def test_from_pure_noise_it_is_the_density_of_data_with_a_little_noise(data: Mixture) -> None:
    log_snr = np.append(np.linspace(7, -14, 150), -np.inf)
    for kind in ("vp", "flow"):
        schedule = Schedule.from_log_snr(log_snr, kind=kind)
        denoise = Denoiser.from_function(data.expectation, schedule)
        result = log_likelihood(denoise, schedule, X, divergence=derivative(data))
        first = schedule[0]
        expected = log_density(data, first.alpha * X, first) + math.log(first.alpha)
        np.testing.assert_allclose(result.nats, expected[:, 0], atol=2e-6)


def test_the_scale_of_the_path_does_not_matter() -> None:
    results = []
    for schedule in (EVEN.as_vp(), EVEN.as_flow(), EVEN.as_ve()):
        denoise = Denoiser.from_function(PEAKS.expectation, schedule)
        result = log_likelihood(denoise, schedule, X, divergence=derivative(PEAKS))
        np.testing.assert_allclose(result.nats, exact(PEAKS, schedule, X), atol=2e-4)
        results.append(result.nats)
    # Where the last point has signal left, noise of prior_std is another on vp than on the others.
    np.testing.assert_allclose(results[1], results[2], rtol=1e-11)


@pytest.mark.parametrize(("steps", "low", "high"), [(20, -0.003, -0.002), (60, 0.0007, 0.0011)])
def test_the_rounding_of_bfloat16_adds_up(steps: int, low: float, high: float) -> None:
    """The bias in nats an element that the docstring speaks of: of one sign in all samples."""
    torch = pytest.importorskip("torch")
    base = Schedule.linear(1000)
    schedule, table = base.subsample(steps=steps, spacing="log_snr"), base.to_log_snr()

    def network(x: Any, timesteps: Any) -> Any:
        here = np.interp(timesteps[0].item(), np.arange(1000.0), table)
        alpha, sigma = (1 + math.exp(-here)) ** -0.5, (1 + math.exp(here)) ** -0.5
        return (sigma / (0.25 * alpha**2 + sigma**2) * x.double()).to(x.dtype)

    x = torch.as_tensor(0.5 * np.random.default_rng(2).standard_normal((4, 768))).bfloat16()
    half, full = (log_likelihood(network, schedule, each).nats for each in (x, x.double()))
    off = (half - full) / 768
    assert bool(((off > low) & (off < high)).all()), off
    single = log_likelihood(network, schedule, x.float()).nats
    np.testing.assert_allclose(single.numpy(), full.numpy(), rtol=0, atol=1e-3)


def test_nats_and_bits() -> None:
    x = np.zeros((2, 3, 2))
    result = log_likelihood(PEAKS.denoiser(EVEN), EVEN, x, divergence=derivative(PEAKS))
    np.testing.assert_allclose(result.bits_per_dim, -result.nats / (6 * math.log(2)), rtol=1e-14)
    alone = log_likelihood(PEAKS.denoiser(EVEN), EVEN, x[:1, :1, 0], divergence=derivative(PEAKS))
    np.testing.assert_allclose(result.nats, 6 * alone.nats[0], rtol=1e-12)


@pytest.mark.parametrize("probes", [None, 2])
@pytest.mark.parametrize(
    "lib",
    [each for each in INSTALLED if each.name in FOLLOW],
    ids=lambda each: each.name,
    indirect=True,
)
def test_the_library_s_gradient_is_the_derivative(lib: Library, probes: int | None) -> None:
    """Of elements that do not depend on one another, every direction of ±1 has the whole trace."""
    schedule, x = EVEN[[5, 15]], X.reshape(6, 2)
    expected = log_likelihood(PEAKS.denoiser(schedule), schedule, x, divergence=derivative(PEAKS))
    result = log_likelihood(PEAKS.denoiser(schedule), schedule, lib.array(x), probes=probes)
    rtol = 1e-4 if lib.widest == "float32" else 1e-11
    assert lib.is_mine(result.nats)
    np.testing.assert_allclose(host(result.nats), expected.nats, rtol=rtol)


def correlated(schedule: Schedule) -> tuple[np.ndarray, Callable[[Any, Point], Any]]:
    """Return a covariance, and the optimal prediction for data that have it, for tensors."""
    torch = pytest.importorskip("torch")
    root = RNG.standard_normal((4, 4))
    covariance = torch.tensor(root @ root.T / 4)

    def expectation(x: Any, t: Point) -> Any:
        noisy = t.alpha**2 * covariance + t.sigma**2 * torch.eye(4, dtype=torch.float64)
        return x @ (t.alpha * torch.linalg.solve(noisy, covariance))

    return covariance.numpy(), expectation


def test_of_correlated_data_the_trace_is_exact_and_its_estimate_unbiased() -> None:
    torch = pytest.importorskip("torch")
    schedule = Schedule.from_log_snr(np.linspace(6, -14, 25))
    covariance, expectation = correlated(schedule)
    denoise = Denoiser.from_function(expectation, schedule)
    x = RNG.standard_normal((1, 4)) * 0.5
    first, last = schedule[0], schedule[-1]
    at, eye = first.alpha * x[0], np.eye(4)
    noisy, end = (p.alpha**2 * covariance + p.sigma**2 * eye for p in (first, last))
    # The flow from the first point to the last is linear, by (end / noisy)^½.
    values, vectors = np.linalg.eigh(covariance)
    stretch = vectors * np.sqrt(
        (last.alpha**2 * values + last.sigma**2) / (first.alpha**2 * values + first.sigma**2)
    )
    image = stretch @ vectors.T @ at
    expected = -(image @ image) / 2 - 2 * math.log(2 * math.pi)
    expected += (np.linalg.slogdet(end)[1] - np.linalg.slogdet(noisy)[1]) / 2
    expected += 4 * math.log(first.alpha)
    whole = log_likelihood(denoise, schedule, torch.tensor(x), probes=None).nats.item()
    np.testing.assert_allclose(whole, expected, atol=1e-3)
    copies = torch.tensor(np.repeat(x, 400, axis=0))
    one = log_likelihood(denoise, schedule, copies, seed=1).nats.numpy()
    error = one.std(ddof=1) / 20
    assert error > 0.01
    assert abs(one.mean() - whole) < 4 * error
    four = log_likelihood(denoise, schedule, copies, seed=1, probes=4).nats.numpy()
    assert 1.7 < one.std() / four.std() < 2.3


def test_a_sample_has_its_own_directions_in_any_batch() -> None:
    torch = pytest.importorskip("torch")
    _, expectation = correlated(EVEN)
    denoise = Denoiser.from_function(expectation, EVEN)
    x = torch.tensor(RNG.standard_normal((3, 4)))
    whole = log_likelihood(denoise, EVEN, x, seed=[5, 6, 7]).nats
    alone = log_likelihood(denoise, EVEN, x[1:2], seed=6).nats
    np.testing.assert_allclose(alone.numpy(), whole[1:2].numpy(), rtol=1e-12)
    other = log_likelihood(denoise, EVEN, x[1:2], seed=7).nats
    assert abs(other - alone).item() > 1e-3


def test_networks_are_called_as_samplers_call_them() -> None:
    torch = pytest.importorskip("torch")
    seen: list[Any] = []

    def model(x: Any, timesteps: Any, scale: float) -> Any:
        seen.append(timesteps)
        return scale * x

    schedule = Schedule.linear(1000).subsample(steps=4, spacing="linspace")
    weights = torch.nn.Parameter(torch.ones(()))
    x = torch.ones((2, 3))
    with torch.inference_mode():
        result = log_likelihood(
            model, schedule, x, prediction="v", tableau=Heun().tableau, scale=weights
        )
    assert [t.tolist() for t in seen[:3]] == [[0, 0], [333, 333], [333, 333]]
    assert seen[0].dtype == torch.int64
    assert result.nats.dtype == torch.float64
    assert not result.nats.requires_grad
    # v = x: a step of Heun's multiplies x by 1 + h + h²/2, and the divergence is 3.
    steps = np.diff(np.arctan2(schedule.sigma, schedule.alpha))
    start = float(schedule.alpha[0])
    end = start * np.prod(1 + steps + steps**2 / 2)
    expected = 3 * (steps.sum() + math.log(start) - end**2 / 2 - math.log(2 * math.pi) / 2)
    np.testing.assert_allclose(result.nats.numpy(), expected, rtol=1e-5)
    half = log_likelihood(model, schedule, x.half(), prediction="v", scale=1.0)
    full = log_likelihood(model, schedule, x, prediction="v", scale=1.0)
    np.testing.assert_allclose(half.nats.numpy(), full.nats.numpy(), rtol=0.02)


def test_a_constant_prediction_has_no_derivative() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones((1, 2), dtype=torch.float64)
    nothing = Denoiser.from_function(lambda x, t: torch.zeros_like(x), EVEN)
    result = log_likelihood(nothing, EVEN, x)
    expected = exact(Mixture([0.0], [0.0]), EVEN, np.ones((1, 2)))
    np.testing.assert_allclose(result.nats.numpy(), expected, rtol=1e-4)


def test_jax_compiles_it() -> None:
    jax = pytest.importorskip("jax")
    schedule = EVEN[[5, 15]]
    x = jax.numpy.ones((2, 2))

    def nats(weight: Any) -> Any:
        return log_likelihood(lambda x, t: weight * x, schedule, x, prediction="v").nats.sum()

    np.testing.assert_allclose(jax.jit(nats)(0.3), nats(0.3), rtol=1e-5)


def trace(x: Any, t: Point) -> Any:
    return 0 * x[:, 0]


def network(x: Any, timesteps: Any) -> Any:
    return x


CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "NumPy": (
        lambda: log_likelihood(network, LINEAR, X),
        TypeError,
        ["x", "numpy.ndarray", "torch", "JAX", "divergence="],
    ),
    "no points": (
        lambda: log_likelihood(network, LINEAR[:0], X, divergence=trace),
        ValueError,
        ["schedule", "no points"],
    ),
    "no schedule": (
        lambda: log_likelihood(network, None, X, divergence=trace),
        TypeError,
        ["schedule", "None"],
    ),
    "no elements": (
        lambda: log_likelihood(network, LINEAR, X[:, :0], divergence=trace),
        ValueError,
        ["x", "(12, 0)"],
    ),
    "no probes": (lambda: log_likelihood(network, LINEAR, X, probes=0), ValueError, ["probes"]),
    "half a probe": (lambda: log_likelihood(network, LINEAR, X, probes=0.5), TypeError, ["probes"]),
    "seed": (lambda: log_likelihood(network, LINEAR, X, seed=-1), ValueError, ["seed", "-1"]),
    "tableau": (
        lambda: log_likelihood(network, LINEAR, X, tableau=Heun(), divergence=trace),
        TypeError,
        ["tableau", "Tableau", "Heun"],
    ),
    "divergence": (
        lambda: log_likelihood(network, LINEAR, X, divergence=3),
        TypeError,
        ["divergence", "int"],
    ),
    "divergence of a shape": (
        lambda: log_likelihood(network, LINEAR, X, divergence=lambda x, t: x),
        ValueError,
        ["divergence", "12 numbers", "(12, 1)"],
    ),
    "NaN of the network": (
        lambda: log_likelihood(lambda x, t: np.nan * x, LINEAR, X, divergence=trace),
        ValueError,
        ["model", "NaN", "timestep 0"],
    ),
    "NaN of the divergence": (
        lambda: log_likelihood(network, LINEAR, X, divergence=lambda x, t: x[:, 0] * np.nan),
        ValueError,
        ["divergence", "NaN", "timestep 0"],
    ),
    "epsilon at pure noise": (
        lambda: log_likelihood(network, LINEAR.rescale_zero_terminal_snr(), X, divergence=trace),
        ValueError,
        ["'epsilon'", "timestep 9"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])


def test_a_gradient_of_the_schedule_is_an_error() -> None:
    torch = pytest.importorskip("torch")
    schedule = LINEAR.shift(torch.tensor(1.5, requires_grad=True))
    check_named(
        lambda: log_likelihood(network, schedule, torch.tensor(X)),
        ValueError,
        ["gradient", "schedule"],
    )


def test_a_tableau_of_one_s_own_is_taken() -> None:
    ralston = Tableau([[], [2 / 3]], [1 / 4, 3 / 4], order=2)
    result = log_likelihood(
        GAUSSIAN.denoiser(EVEN), EVEN, X, tableau=ralston, divergence=derivative(GAUSSIAN)
    )
    np.testing.assert_allclose(result.nats, exact(GAUSSIAN, EVEN, X), atol=0.05)
