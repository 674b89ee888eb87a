"""Running samplers: steps, noise, keywords, and samplers of one's own."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, Denoiser, Point, Sampler, Schedule, sample, sample_steps
from tests.registry.references import StepDDIM, StepDDPM
from tests.registry.schedules import on_every_schedule
from tests.running.few import EVERY_SAMPLER, EVERY_STEPPER, network

FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


@EVERY_SAMPLER
def test_a_seed_gives_the_same_sample(sampler: Sampler) -> None:
    first = sample(network, FAST, sampler, X, noise=11)
    np.testing.assert_array_equal(sample(network, FAST, sampler, X, noise=11), first)
    drawn, again = (
        sample(network, FAST, sampler, X, noise=np.random.default_rng(11)) for _ in range(2)
    )
    np.testing.assert_array_equal(drawn, again)
    other = sample(network, FAST, sampler, X, noise=12)
    deterministic = sampler in (DDIM(), StepDDIM())
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
def test_noise_is_drawn_only_where_it_is_used(sampler: Sampler, expected: int) -> None:
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
def test_x_is_not_written_to(sampler: Sampler) -> None:
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


@EVERY_SAMPLER
@on_every_schedule(
    (1, 2, 12), lambda s: s.origin.sigma == 0 and bool(np.isfinite(s.timesteps).all())
)
def test_a_point_is_recovered_by_every_sampler_on_every_schedule(
    schedule: Schedule, sampler: Sampler
) -> None:
    """Where the data are one point, the optimal network always answers with it."""
    point = np.full((2, 3), 0.3)
    rng = np.random.default_rng(0)
    start = rng.standard_normal((2, 3))
    result = sample(lambda x, t: point, schedule, sampler, start, prediction="x0", noise=rng)
    np.testing.assert_allclose(result, point, rtol=1e-13)


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


@EVERY_STEPPER
def test_points_made_by_hand_serve_as_well(sampler: StepDDIM | StepDDPM) -> None:
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
