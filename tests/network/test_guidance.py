"""Guidance, without a classifier and with one, for any sampler."""

from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    ClassifierFreeGuidance,
    Denoiser,
    DPMSolverPP,
    Point,
    Schedule,
    classifier_guidance,
    sample,
)
from schedalg.testing import Mixture
from tests.libraries import Library, host, lib

__all__ = ["lib"]

FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


def conditional(x: Any, timesteps: Any, y: Any) -> Any:
    """A network that depends on one number for each sample."""
    return 0.5 * x + 0.1 * y[:, None, None]


def test_classifier_free_guidance_is_one_call_on_both(lib: Library) -> None:
    batches: list[int] = []

    def counted(x: Any, timesteps: Any, y: Any) -> Any:
        batches.append(x.shape[0])
        assert timesteps.shape[0] == x.shape[0]
        return conditional(x, timesteps, y)

    x, y, n = (lib.array(v, "float32") for v in (X, np.arange(4.0), np.full(4, -1.0)))
    guided = ClassifierFreeGuidance(counted, 2.5, {"y": y}, {"y": n})
    image = sample(guided, FAST, DPMSolverPP(order=2), x)
    assert batches == [8] * 12

    def by_hand(x: Any, timesteps: Any) -> Any:
        with_y, without = conditional(x, timesteps, y), conditional(x, timesteps, n)
        return without + 2.5 * (with_y - without)

    expected = sample(by_hand, FAST, DPMSolverPP(order=2), x)
    assert image.dtype == x.dtype
    np.testing.assert_allclose(host(image), host(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_guidance_of_0_and_1_is_either_network(scale: float) -> None:
    y, n = np.arange(4.0), np.zeros(4)
    guided = ClassifierFreeGuidance(conditional, scale, {"y": y}, {"y": n})
    expected = sample(conditional, FAST, DDIM(), X, y=y if scale else n)
    np.testing.assert_allclose(sample(guided, FAST, DDIM(), X), expected, rtol=1e-12)


def test_guidance_leaves_a_learned_variance_as_the_condition_has_it() -> None:
    def two(x: np.ndarray, timesteps: np.ndarray, y: np.ndarray) -> np.ndarray:
        variance = np.broadcast_to(y[:, None, None] / 10, x.shape)
        return np.concatenate([conditional(x, timesteps, y), variance], axis=1)

    y, n = np.arange(4.0), np.zeros(4)
    output = ClassifierFreeGuidance(two, 3.0, {"y": y}, {"y": n})(X, np.zeros(4, dtype=int))
    np.testing.assert_allclose(output[:, 2:, 0], np.repeat(y[:, None] / 10, 2, axis=1))
    np.testing.assert_allclose(output[:, :2], 0.5 * X + 0.3 * y[:, None, None], rtol=1e-12)


def test_other_keywords_reach_both_halves() -> None:
    def model(x: Any, timesteps: Any, y: Any, mask: Any, name: str) -> Any:
        assert (mask.shape[0], name) == (x.shape[0], "same")
        return x * mask[:, None, None] + y[:, None, None]

    y, n = np.ones(4), np.zeros(4)
    guided = ClassifierFreeGuidance(model, 2.0, {"y": y, "name": "same"}, {"y": n, "name": "same"})
    image = sample(guided, FAST, DDIM(), X, mask=np.full(4, 0.5))
    assert np.isfinite(image).all()


def gaussian_score(schedule: Schedule, towards: float, strength: float) -> Any:
    """Return the gradient of log p(y | x) that moves Gaussian data's mean, and the mean it gives.

    For x0 ~ N(0, 1) and y = x0 + noise of variance v, p(x0 | y) is N(y/(1+v), v/(1+v)). At a point,
    y given x is N(alpha x, v + sigma²) on a variance-preserving path.
    """
    v = strength

    def gradient(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        k = int(np.flatnonzero(schedule.timesteps == timesteps[0])[0])
        alpha, sigma = schedule.as_vp().alpha[k], schedule.as_vp().sigma[k]
        return np.asarray((towards - alpha * x) * alpha / (v + sigma**2))

    return gradient


@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
def test_guidance_by_the_score_is_bayes_rule(kind: str) -> None:
    """The guided prediction is exactly the conditional expectation, in every scale of x."""
    base = Schedule.linear(1000)[::50]
    schedule = {"vp": base, "ve": base.as_ve(), "flow": base.as_flow()}[kind]
    v, y = 0.5, 1.2
    prior = Mixture([0.0], [1.0]).denoiser(schedule)
    guided = classifier_guidance(prior, gaussian_score(schedule, y, v))
    posterior = Mixture([y / (1 + v)], [(v / (1 + v)) ** 0.5]).denoiser(schedule)
    x = np.random.default_rng(0).standard_normal((3, 4))
    for point in schedule:
        np.testing.assert_allclose(
            guided(x * point.sigma, point), posterior(x * point.sigma, point), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("base", [Schedule.karras(9), Schedule.flow(9)[:8], FAST])
def test_guidance_by_the_mean_is_the_same_in_every_scale(base: Schedule) -> None:
    """It does not depend on the scale of x, nor on the scale the network was trained in."""

    def gradient(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return 0.3 - x

    images = []
    for schedule in (base.as_vp(), base.as_ve(), base.as_flow()):
        guided = classifier_guidance(
            Denoiser(lambda x, t: np.tanh(x), schedule, "v"), gradient, shift="mean"
        )
        images.append(sample(guided, schedule, DDPM(), X * schedule.sigma[-1], noise=2))
    np.testing.assert_allclose(images[1], images[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(images[2], images[0], rtol=1e-9, atol=1e-9)
    # x0 + (sigma_s²/alpha_s) d log p / dx, with x in the variance-preserving scale.
    denoise = Denoiser(lambda x, t: np.tanh(x), base, "v")
    guided = classifier_guidance(denoise, gradient, shift="mean")
    t, s = base[4], base.as_vp()[3]
    unit = np.hypot(t.alpha, t.sigma)
    scale = {"vp": 1 / unit, "ve": 1 / t.alpha, "flow": 1 / (t.alpha + t.sigma)}[base.network_kind]
    slope = (0.3 - scale * X) * scale * unit
    expected = denoise(X, t) + s.sigma**2 / s.alpha * slope
    np.testing.assert_allclose(guided(X, t), expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ["vp", "ve"])
def test_guidance_by_the_mean_adds_the_variance_times_the_gradient(kind: str) -> None:
    """As guided-diffusion's condition_mean, with the respaced schedule's posterior variance."""
    schedule = FAST if kind == "vp" else FAST.as_ve()
    z = np.random.default_rng(0).standard_normal((12, 4, 2, 3))

    def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return np.tanh(x)

    def gradient(x: np.ndarray, timesteps: np.ndarray, pull: float) -> np.ndarray:
        return pull - x

    x = X
    for i, k in enumerate(reversed(range(12))):
        eps = network(x, None)
        x0 = (x - FAST.sigma[k] * eps) / FAST.alpha[k]
        mean = FAST.posterior_mean_coef1[k] * x0 + FAST.posterior_mean_coef2[k] * x
        mean = mean + FAST.posterior_variance[k] * 0.7 * gradient(x, None, 0.3)
        x = mean + FAST.posterior_variance[k] ** 0.5 * z[i]
    denoise = Denoiser(network, schedule)
    guided = classifier_guidance(denoise, gradient, scale=0.7, shift="mean", pull=0.3)
    draws = iter(z)
    start = X * (schedule.sigma[-1] / FAST.sigma[-1])
    result = sample(guided, schedule, DDPM(), start, noise=lambda x: next(draws))
    np.testing.assert_allclose(result, x, rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="points of the schedule"):
        guided(X, Point(0.5, 0.5, 3))


def test_guidance_by_the_mean_starts_at_zero_snr() -> None:
    for schedule in (
        Schedule.linear(1000).rescale_zero_terminal_snr().subsample(steps=5, spacing="trailing"),
        Schedule.flow(5),
    ):
        nothing = Denoiser(lambda x, t: 0 * x, schedule, "x0")
        guided = classifier_guidance(nothing, lambda x, t: np.ones_like(x), shift="mean")
        s, t = schedule.as_vp()[-2], schedule[-1]
        to_vp = 1 / (t.alpha**2 + t.sigma**2) ** 0.5
        to_network = to_vp if schedule.network_kind == "vp" else 1.0
        expected = s.sigma**2 / s.alpha * to_network / to_vp
        np.testing.assert_allclose(guided(np.ones((1, 1)), t), expected, rtol=1e-12)


def test_guidance_takes_part_in_gradients() -> None:
    torch = pytest.importorskip("torch")
    log_snr = torch.linspace(4, -4, 6, dtype=torch.float64, requires_grad=True)
    for shift in ("score", "mean"):
        schedule = Schedule.from_log_snr(log_snr)
        guided = classifier_guidance(
            Denoiser(lambda x, t: 0.3 * x, schedule), lambda x, t: 1 - x, shift=shift
        )
        image = sample(guided, schedule, DDPM(), torch.ones(1, 2, dtype=torch.float64), noise=0)
        (gradient,) = torch.autograd.grad(image.sum(), log_snr)
        assert torch.isfinite(gradient).all()


def test_conditions_may_be_nested() -> None:
    def model(x: Any, timesteps: Any, added: Any) -> Any:
        assert added["size"] == (8, 8)
        return x + added["text"][0][:, None, None]

    y, n = np.arange(4.0), np.zeros(4)
    cond, uncond = ({"added": {"text": [v], "size": (8, 8)}} for v in (y, n))
    output = ClassifierFreeGuidance(model, 2.0, cond, uncond)(X, np.zeros(4))
    np.testing.assert_allclose(output, X + 2 * y[:, None, None])


def test_one_condition_is_for_all_samples() -> None:
    y, none = np.array([3.0]), np.zeros(4)
    guided = ClassifierFreeGuidance(conditional, 2.0, {"y": y}, {"y": none})
    spread = ClassifierFreeGuidance(conditional, 2.0, {"y": np.full(4, 3.0)}, {"y": none})
    np.testing.assert_array_equal(guided(X, np.zeros(4)), spread(X, np.zeros(4)))
    both = ClassifierFreeGuidance(conditional, 2.0, {"y": y}, {"y": none[:1]})
    np.testing.assert_array_equal(both(X, np.zeros(4)), spread(X, np.zeros(4)))


def test_gradients_reach_the_scale_of_guidance() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(X, dtype=torch.float32)
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    y, none = torch.ones(4), torch.zeros(4)

    def free(value: Any) -> Any:
        guided = ClassifierFreeGuidance(conditional, value, {"y": y}, {"y": none})
        return sample(guided, FAST, DDIM(), x)

    def classified(value: Any) -> Any:
        towards = classifier_guidance(
            Denoiser(lambda x, t: 0.3 * x, FAST), lambda x, t: 1 - x, value
        )
        return sample(towards, FAST, DDIM(), x)

    for image in (free, classified):
        result = image(scale)
        assert result.dtype == torch.float32
        (slope,) = torch.autograd.grad(result.sum(), scale)
        expected = (image(2.01).double().sum() - image(1.99).double().sum()) / 0.02
        torch.testing.assert_close(slope, expected, rtol=1e-2, atol=0)


def test_jax_follows_the_scale_of_guidance_under_jit() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.ones((2, 1, 1), dtype="float32")

    def total(scale: Any) -> Any:
        one = jax.numpy.ones(2)
        guided = ClassifierFreeGuidance(conditional, scale, {"y": one}, {"y": 0 * one})
        return guided(x, one).sum()

    assert jax.jit(jax.grad(total))(2.0) == pytest.approx(0.2)
