"""Running samplers: libraries, dtypes, noise, orders and marginals."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    Denoiser,
    Point,
    Sampler,
    Schedule,
    sample,
    sample_steps,
)
from tests.libraries import Library, host, lib
from tests.registry import on_every_schedule

__all__ = ["lib"]

SAMPLERS: dict[str, Sampler[Any]] = {
    "DDPM": DDPM(),
    "DDPM large": DDPM("fixed_large"),
    "DDIM": DDIM(),
    "DDIM 0.5": DDIM(0.5),
    "DDIM 1": DDIM(1.0),
}
EVERY_SAMPLER = pytest.mark.parametrize(
    "sampler", [pytest.param(sampler, id=name) for name, sampler in SAMPLERS.items()]
)
FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


def network(x: Any, timesteps: Any) -> Any:
    """Any smooth function of x, in any library."""
    return 0.5 * x - 0.1 * x**3 / (1 + x**2)


@EVERY_SAMPLER
def test_arrays_of_any_library_in_the_same_out(lib: Library, sampler: Sampler[Any]) -> None:
    expected = sample(network, FAST, sampler, X, noise=5, clip=(-2, 2))
    tolerances = {"float64": 1e-11, "float32": 2e-4}
    for dtype in {"float32", lib.widest}:
        x = lib.array(X, dtype)
        for prediction in ("epsilon", "x0", "v"):
            result = sample(network, FAST, sampler, x, noise=5, prediction=prediction)
            assert lib.is_mine(result)
            assert result.dtype == x.dtype
            assert result.shape == x.shape
            assert type(result) is type(x)
        result = sample(network, FAST, sampler, x, noise=5, clip=(-2, 2))
        tolerance = tolerances[dtype]
        np.testing.assert_allclose(host(result), expected, rtol=tolerance, atol=tolerance)


@EVERY_SAMPLER
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_kept(sampler: Sampler[Any], dtype: str) -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(X, dtype=getattr(torch, dtype))
    result = sample(network, FAST, sampler, x, noise=0, clip=(-1, 1))
    assert result.dtype == x.dtype
    assert torch.isfinite(result).all()


def test_the_network_sees_only_x_s_own_dtype(lib: Library) -> None:
    seen: list[tuple[Any, Any, Any]] = []

    def model(x: Any, timesteps: Any) -> Any:
        seen.append((x.dtype, timesteps.dtype, timesteps.shape))
        return x

    x = lib.array(X, "float32")
    sample(model, FAST, DDPM(), x, noise=0)
    integer = "int32" if lib.widest == "float32" else "int64"
    assert set(seen) == {(x.dtype, lib.array([0], integer).dtype, (4,))}
    seen.clear()
    sample(model, Schedule.flow(5), DDIM(), x, prediction="v")
    assert set(seen) == {(x.dtype, x.dtype, (4,))}


def test_half_precision_is_told_fractional_timesteps_in_single() -> None:
    told = []

    def model(x: Any, timesteps: Any) -> Any:
        told.append(timesteps)
        return x

    x = np.ones((2, 3), dtype=np.float16)
    result = sample(model, Schedule.karras(4), DDIM(), x, prediction="x0")
    assert result.dtype == np.float16
    assert told[0].dtype == np.float32


def test_a_schedule_of_arrays_does_not_change_x_s_dtype(lib: Library) -> None:
    schedule = Schedule.from_betas(lib.array(np.linspace(0.01, 0.3, 9)))
    expected = sample(network, Schedule.from_betas(np.linspace(0.01, 0.3, 9)), DDPM(), X, noise=1)
    x = lib.array(X, "float32")
    result = sample(network, schedule, DDPM(), x, noise=1)
    assert result.dtype == x.dtype
    np.testing.assert_allclose(host(result), expected, rtol=1e-4, atol=1e-4)


@EVERY_SAMPLER
def test_a_seed_gives_the_same_sample(sampler: Sampler[Any]) -> None:
    first = sample(network, FAST, sampler, X, noise=11)
    np.testing.assert_array_equal(sample(network, FAST, sampler, X, noise=11), first)
    drawn, again = (
        sample(network, FAST, sampler, X, noise=np.random.default_rng(11)) for _ in range(2)
    )
    np.testing.assert_array_equal(drawn, again)
    other = sample(network, FAST, sampler, X, noise=12)
    deterministic = sampler == DDIM()
    assert (other == first).all() == deterministic
    assert (sample(network, FAST, sampler, X) == first).all() == deterministic


def test_generators_of_a_library_are_its_own() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(X, dtype=torch.float32)
    images = [
        sample(network, FAST, DDPM(), x, noise=torch.Generator().manual_seed(3)) for _ in range(2)
    ]
    assert torch.equal(*images)
    assert images[0].dtype == torch.float32


def test_a_jax_key_makes_the_noise() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(X, dtype=jax.numpy.float32)
    images = [sample(network, FAST, DDPM(), x, noise=jax.random.key(3)) for _ in range(2)]
    np.testing.assert_array_equal(*images)
    draws = [
        sample(network, FAST[:1].compose(FAST[1:2]), DDPM(), x, noise=jax.random.key(k))
        for k in (3, 4)
    ]
    assert (draws[0] != draws[1]).any()


@pytest.mark.parametrize(
    ("sampler", "expected"), [(DDPM(), 11), (DDPM("fixed_large"), 11), (DDIM(), 0), (DDIM(0.3), 11)]
)
def test_noise_is_drawn_only_where_it_is_used(sampler: Sampler[Any], expected: int) -> None:
    draws = 0

    def noise(x: np.ndarray) -> np.ndarray:
        nonlocal draws
        draws += 1
        return np.zeros_like(x)

    sample(network, FAST, sampler, X, noise=noise)
    assert draws == expected  # 12 steps, of which the last arrives at clean data
    draws = 0
    sample(network, FAST[4:], sampler, X, noise=noise)
    assert draws == (8 if expected else 0)  # the origin is noisy: its step needs noise too


def test_steps_are_those_of_sample() -> None:
    steps = list(sample_steps(network, FAST, DDPM(), X, noise=2))
    assert len(steps) == len(FAST)
    np.testing.assert_array_equal(steps[-1], sample(network, FAST, DDPM(), X, noise=2))


def test_no_steps_leave_x_alone_and_one_step_is_the_prediction() -> None:
    assert sample(network, FAST[:0], DDPM(), X) is X
    one = FAST[[11]]
    t = one[0]
    np.testing.assert_allclose(
        sample(network, one, DDIM(), X), (X - t.sigma * network(X, None)) / t.alpha, rtol=1e-12
    )


@EVERY_SAMPLER
def test_x_is_not_written_to(sampler: Sampler[Any]) -> None:
    x = X.copy()
    x.flags.writeable = False
    sample(network, FAST, sampler, x, noise=0, clip=(-1, 1))


def test_keywords_reach_the_network() -> None:
    def model(x: np.ndarray, timesteps: np.ndarray, *, scale: float) -> np.ndarray:
        return scale * x

    doubled = sample(lambda x, t: 2 * x, FAST, DDIM(), X)
    np.testing.assert_array_equal(sample(model, FAST, DDIM(), X, scale=2.0), doubled)


def test_the_bar_shows_progress(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    sample(network, FAST, DDIM(), X, progress=True)
    assert "12/12" in capsys.readouterr().err


def test_runs_share_samplers_and_schedules() -> None:
    sampler = DDPM()
    expected = [sample(network, FAST, sampler, X, noise=seed) for seed in range(16)]
    with ThreadPoolExecutor(8) as pool:
        together = pool.map(lambda seed: sample(network, FAST, sampler, X, noise=seed), range(16))
    for one, other in zip(expected, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_sampler_needs_no_base_class_and_may_keep_state() -> None:
    class Average:
        """DDIM on the mean of this prediction and the last; its state is that prediction."""

        def init(self, x: np.ndarray, schedule: Schedule) -> np.ndarray | None:
            return None

        def step(
            self, x: Any, t: Point, s: Point, denoise: Any, noise: Any, state: np.ndarray | None
        ) -> tuple[Any, Any]:
            x0 = denoise(x, t)
            mean = x0 if state is None else (x0 + state) / 2
            eps = (x - t.alpha * mean) / t.sigma
            return s.alpha * mean + s.sigma * eps, x0

    image = sample(network, FAST, Average(), X)
    assert np.isfinite(image).all()
    assert (image != sample(network, FAST, DDIM(), X)).any()


# Gaussian data N(mean, spread²), for which the optimal network and the exact flow are known.


def exact_network(schedule: Schedule, mean: float, spread: float) -> Callable[..., Any]:
    """Return E[x0 | x] for Gaussian data, at the timesteps of a schedule."""
    table = {p.timestep: (p.alpha, p.sigma) for p in schedule}

    def model(x: Any, timesteps: Any) -> Any:
        alpha, sigma = table[timesteps[0].item()]
        gain = alpha * spread**2 / (alpha**2 * spread**2 + sigma**2)
        return mean + gain * (x - alpha * mean)

    return model


@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
def test_ddim_converges_with_order_1(kind: Any) -> None:
    mean, spread = 0.7, 0.4
    errors = []
    counts = [20, 40, 80, 160, 320]
    for steps in counts:
        path = Schedule.from_log_snr(np.linspace(10, -10, steps + 1), kind=kind)
        schedule = path[1:]
        s, t = schedule.origin, schedule[-1]
        result = sample(exact_network(schedule, mean, spread), schedule, DDIM(), X, prediction="x0")
        # The flow carries each quantile of one marginal to the same quantile of the other.
        std_s, std_t = (np.hypot(p.alpha * spread, p.sigma) for p in (s, t))
        exact = s.alpha * mean + std_s / std_t * (X - t.alpha * mean)
        errors.append(np.abs(result - exact).max())
    order = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert order == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("beta_start", "prediction", "total", "mean"),
    [
        (1e-4, "epsilon", 172.0067, 0.223967),
        (1e-4, "v", 52.5302, 0.0684),
        (0.01, "epsilon", 149.8295, 0.1951),
    ],
)
def test_ddim_gives_the_sums_that_diffusers_tests_for(
    beta_start: float, prediction: Any, total: float, mean: float
) -> None:
    """The sample, network and sums are of its test suite: ten leading steps, clipped."""
    ramp = np.arange(768, dtype=np.float32).reshape(3, 8, 8, 4) / 768
    x = np.moveaxis(ramp, 3, 0)

    def residual(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        t = timesteps[:, None, None, None].astype(x.dtype)
        return x * t / (t + 1)

    schedule = Schedule.linear(1000, beta_start=beta_start).subsample(steps=10)
    result = sample(residual, schedule, DDIM(), x, prediction=prediction, clip=(-1, 1))
    assert np.abs(result).sum() == pytest.approx(total, abs=1e-2)
    assert np.abs(result).mean() == pytest.approx(mean, abs=1e-3)


def variance_after(
    schedule: Schedule, sampler: Sampler[Any], spread: float, start: float
) -> list[float]:
    """Return the variance of x after each step, without a random draw.

    The optimal network for Gaussian data of mean 0 is linear, and so is each step, x_s = a x + c z:
    the variance goes to a² v + c². a and c are read off the step itself.
    """
    model = exact_network(schedule, 0.0, spread)
    denoise = Denoiser(model, schedule, "x0")
    points = [schedule.origin, *schedule]
    variances = [start]
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    state = sampler.init(one, schedule)
    for k in range(len(schedule), 0, -1):
        t, s = points[k], points[k - 1]
        a = sampler.step(one, t, s, denoise, np.zeros_like, state)[0].item()
        c = sampler.step(zero, t, s, denoise, np.ones_like, state)[0].item()
        variances.append(a**2 * variances[-1] + c**2)
    return variances


ANY_SUBSET = [0, 3, 7, 50, 51, 300, 640, 999]


@pytest.mark.parametrize("sampler", [DDPM(), DDIM(), DDIM(0.3), DDIM(0.5), DDIM(1.0)])
@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
def test_the_variance_is_exact_for_data_that_are_a_point(sampler: Sampler[Any], kind: str) -> None:
    """x_k ~ N(alpha x0, sigma²) at every step, however few: DDIM's family was made for it."""
    base = Schedule.linear(1000)[ANY_SUBSET]
    schedule = Schedule.from_log_snr(base.to_log_snr(), kind=kind)
    start = float(schedule.sigma[-1]) ** 2
    variances = variance_after(schedule, sampler, 0.0, start)
    expected = [*(schedule.sigma[::-1] ** 2), 0.0]
    np.testing.assert_allclose(variances, expected, rtol=1e-12, atol=1e-30)


def test_the_large_variance_is_exact_for_data_of_unit_variance() -> None:
    schedule = Schedule.linear(1000)[ANY_SUBSET][1:]
    variances = variance_after(schedule, DDPM("fixed_large"), 1.0, 1.0)
    np.testing.assert_allclose(variances, 1.0, rtol=1e-13)


@EVERY_SAMPLER
def test_the_variance_of_gaussian_data_is_reached_as_steps_grow(sampler: Sampler[Any]) -> None:
    spread = 0.5
    errors = []
    for steps in (100, 200, 400, 800):
        schedule = Schedule.from_log_snr(np.linspace(9, -9, steps + 1))[1:]
        start = float(schedule.alpha[-1] ** 2 * spread**2 + schedule.sigma[-1] ** 2)
        origin = schedule.origin
        expected = origin.alpha**2 * spread**2 + origin.sigma**2
        variances = variance_after(schedule, sampler, spread, start)
        errors.append(abs(variances[-1] / expected - 1))
    assert errors[-1] < 0.02
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    np.testing.assert_allclose(ratios, 2, atol=0.2)  # an error of first order in the step


@EVERY_SAMPLER
@on_every_schedule(
    (1, 2, 12), lambda s: s.origin.sigma == 0 and bool(np.isfinite(s.timesteps).all())
)
def test_a_point_is_recovered_by_every_sampler_on_every_schedule(
    schedule: Schedule, sampler: Sampler[Any]
) -> None:
    """Where the data are one point, the optimal network always answers with it."""
    point = np.full((2, 3), 0.3)
    start = np.random.default_rng(0).standard_normal((2, 3))
    result = sample(lambda x, t: point, schedule, sampler, start, prediction="x0", noise=0)
    np.testing.assert_allclose(result, point, rtol=1e-13)


def test_gradients_flow_through_a_sample_to_x_and_to_the_schedule() -> None:
    torch = pytest.importorskip("torch")
    log_snr = torch.tensor([4.0, 1.0, -1.0, -4.0], dtype=torch.float64)
    x = torch.tensor(X[:1, 0])

    def image(values: Any, start: Any, sampler: Sampler[Any]) -> Any:
        return sample(network, Schedule.from_log_snr(values), sampler, start, noise=0)

    for sampler in SAMPLERS.values():
        assert torch.autograd.gradcheck(
            lambda values, start, sampler=sampler: image(values, start, sampler),
            (log_snr.clone().requires_grad_(), x.clone().requires_grad_()),
        )


def test_rounded_spacings_tell_only_trained_timesteps() -> None:
    told: set[Any] = set()

    def model(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        told.update(timesteps.tolist())
        return x

    base = Schedule.linear(1000)
    sample(model, base.subsample(steps=30, spacing="karras", rounded=True), DDIM(), X)
    assert told <= set(range(1000))
    assert all(isinstance(t, int) for t in told)


def test_optional_packages_are_named_when_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(ImportError, match=r"schedalg\[progress\]"):
        sample(network, FAST, DDIM(), X, progress=True)
    with pytest.raises(ImportError, match=r"schedalg\[scipy\]"):
        FAST.subsample(steps=3, spacing="beta")


def test_all_noise_new_at_zero_signal_has_a_gradient() -> None:
    torch = pytest.importorskip("torch")
    log_snr = torch.tensor([3.0, 1.0, -1.0, -torch.inf], dtype=torch.float64, requires_grad=True)
    for sampler in SAMPLERS.values():
        schedule = Schedule.from_log_snr(log_snr)
        sample(
            network, schedule, sampler, torch.tensor(X), prediction="v", noise=0
        ).sum().backward()
        assert torch.isfinite(log_snr.grad).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_a_schedule_of_tensors_steps_half_precision_as_one_of_numpy_does(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    betas = np.linspace(1e-4, 0.02, 1000)
    x = torch.tensor(X, dtype=getattr(torch, dtype))
    ours, theirs = (
        sample(network, Schedule.from_betas(b)[::100], DDPM(), x, noise=0)
        for b in (torch.tensor(betas), betas)
    )
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", SAMPLERS)
def test_jax_gradients_flow_through_a_sample_and_leave_its_dtype(name: str) -> None:
    jax = pytest.importorskip("jax")
    log_snr = np.array([4.0, 1.0, -1.0, -4.0])

    def total(values: Any, dtype: str) -> Any:
        image = sample(
            network,
            Schedule.from_log_snr(values),
            SAMPLERS[name],
            jax.numpy.asarray(X, dtype=dtype),
            noise=0,
        )
        assert str(image.dtype) == dtype
        return image.sum()

    with jax.enable_x64(True):
        exact, single = (
            np.asarray(jax.grad(total)(jax.numpy.asarray(log_snr), dtype))
            for dtype in ("float64", "float32")
        )
        step = 1e-5 * np.eye(4)
        differences = [
            (total(log_snr + h, "float64") - total(log_snr - h, "float64")) / 2e-5 for h in step
        ]
    np.testing.assert_allclose(exact, differences, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(single, exact, rtol=1e-3, atol=1e-3)


@EVERY_SAMPLER
def test_points_made_by_hand_serve_as_well(sampler: Sampler[Any]) -> None:
    t, s = FAST[7], FAST[6]
    by_hand = [Point(p.alpha, p.sigma, p.timestep) for p in (t, s)]
    assert by_hand == [t, s]
    for hand, point in zip(by_hand, (t, s), strict=True):
        assert hand.log_snr == pytest.approx(point.log_snr, abs=1e-13)
    denoise = Denoiser(network, FAST)
    ours, _ = sampler.step(X, by_hand[0], by_hand[1], denoise, np.ones_like, None)
    theirs, _ = sampler.step(X, t, s, denoise, np.ones_like, None)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    clean = Point(1.0, 0.0, None)
    assert clean == FAST.origin
    assert clean.log_snr == np.inf
    assert Point(0.0, 1.0, 3).log_snr == -np.inf
