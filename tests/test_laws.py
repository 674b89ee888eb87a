"""The laws of the algebra, over random schedules and arbitrary subsets."""

import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schedalg import DDIM, DDPM, Schedule, sample
from schedalg.schedule import curve
from schedalg.testing.strategies import joinable, respaced, schedules, subsets, vp_schedules
from tests.registry.schedules import has_signal, on_every_schedule

EPS = np.finfo(np.float64).eps

ALL = on_every_schedule((1, 2, 30))


def close(a: Schedule, b: Schedule, tolerance: float = 1e-13) -> bool:
    """Whether two schedules are equal but for rounding."""
    return (
        (a.kind, a.network_kind) == (b.kind, b.network_kind)
        and np.allclose(a.timesteps, b.timesteps, rtol=1e-12, atol=0)
        and np.allclose(a.log_alpha_bar.high, b.log_alpha_bar.high, rtol=tolerance, atol=0)
    )


@given(st.data())
def test_law_1_the_betas_of_a_subset_multiply_to_alphas_cumprod(data: st.DataObject) -> None:
    schedule = data.draw(vp_schedules())
    assume(schedule.origin.sigma == 0)
    kept = data.draw(subsets(len(schedule)))
    expected = schedule.to_alphas_cumprod()[kept]
    assume(expected[-1] > 1e-300 or expected[-1] == 0)
    fast = schedule[kept]
    betas = fast.to_betas()
    # What rounding a beta to float64 leaves of 1 - beta.
    allowed = np.cumsum(EPS / np.maximum(1 - betas, EPS * EPS)) + 1e-13
    product = np.cumprod(1 - betas)
    assert (np.abs(product - expected) <= allowed * expected + 1e-300).all()
    np.testing.assert_allclose(np.cumprod(fast.to_alphas()), expected, rtol=1e-13, atol=1e-300)


@given(st.data())
def test_law_2_choosing_from_a_choice_is_choosing_once(data: st.DataObject) -> None:
    schedule = data.draw(schedules())
    first = data.draw(subsets(len(schedule)))
    second = data.draw(subsets(len(first)))
    assert schedule[first][second] == schedule[first[second]]
    assert schedule.subsample(indices=first).subsample(indices=second) == schedule[first[second]]
    np.testing.assert_array_equal(schedule[first].timesteps, np.asarray(schedule.timesteps)[first])


@given(st.data())
def test_law_2_what_lies_between_points_is_the_base_s(data: st.DataObject) -> None:
    base = data.draw(respaced())
    first = data.draw(subsets(len(base)))
    chosen = base[first]
    second = data.draw(subsets(len(chosen)))
    assert chosen[second] == base[first[second]]
    last = chosen.timesteps[-1]
    start = min(base.timesteps[0], last)
    t = data.draw(st.one_of(st.floats(start, last), st.sampled_from(base.timesteps.tolist())))
    try:
        expected = base.at(t)
    except ValueError as error:
        if t <= last and "rise strictly" not in str(error):
            with pytest.raises(ValueError, match=r"in \[|in \(|zero signal"):
                chosen.at(t)
        return
    if isinstance(base.timestep_rule, np.ndarray):
        assume(curve.timesteps_on(chosen)[-1] >= t)
        assert chosen.at(t) == expected
    elif t <= last:
        found = chosen.at(t)
        assert found.alpha == pytest.approx(expected.alpha, rel=8 * EPS, abs=8 * EPS)
        assert found.sigma == pytest.approx(expected.sigma, rel=8 * EPS, abs=0)
        assert found.timestep == expected.timestep


@given(st.data())
def test_law_2_a_curve_is_no_larger_than_its_base_and_shares_its_memory(
    data: st.DataObject,
) -> None:
    base = data.draw(schedules())
    chosen = base[data.draw(subsets(len(base)))]
    if chosen.curve is None:
        kept = base.log_alpha_bar.high[: len(chosen) + 1].tolist()
        assert chosen.log_alpha_bar.high.tolist() == kept or isinstance(base.timestep_rule, str)
        return
    of, between = curve.base_of(base), chosen.curve.base
    assert len(between) <= len(of)
    for mine, theirs in zip(between.log_alpha_bar, of.log_alpha_bar, strict=True):
        assert np.shares_memory(mine, theirs)
    rules = between.timestep_rule, of.timestep_rule
    assert np.shares_memory(*rules)
    assert (between.kind, between.network_kind) == (chosen.kind, chosen.network_kind)
    assert between.curve is None


@ALL
def test_law_2_keeping_everything_is_the_identity(schedule: Schedule) -> None:
    n = len(schedule)
    if schedule.curve is None:
        assert schedule[np.arange(n)].curve is None
        assert all(schedule[:k].curve is None for k in range(n + 1))
    assert schedule[:] == schedule[::1] == schedule
    assert schedule[np.arange(n)] == schedule[np.ones(n, dtype=bool)] == schedule
    assert schedule.subsample(every=1) == schedule.subsample(steps=n) == schedule
    assert schedule.subsample(steps=n, spacing="trailing") == schedule
    if n > 1:
        assert schedule.subsample(steps=n, spacing="linspace") == schedule
        assert schedule.subsample(steps=n, spacing="quadratic") == schedule
    assert schedule.refine(1) == schedule


@given(st.data())
def test_law_3_slicing_and_composing_are_inverses(data: st.DataObject) -> None:
    schedule = data.draw(respaced())
    j, k = sorted(data.draw(st.tuples(*[st.integers(0, len(schedule))] * 2)))
    assert schedule[:k].compose(schedule[k:]) == schedule
    head, middle, tail = schedule[:j], schedule[j:k], schedule[k:]
    assert head.compose(middle).compose(tail) == head.compose(middle.compose(tail)) == schedule


@given(joinable(), joinable(), joinable())
def test_law_3_joining_betas_is_associative(a: Schedule, b: Schedule, c: Schedule) -> None:
    left, right = a.compose(b).compose(c), a.compose(b.compose(c))
    assert left == right
    assert hash(left) == hash(right)
    joined = np.concatenate([a.to_betas(), b.to_betas(), c.to_betas()])
    # DoubleDouble sums carry about 106 bits, of which a beta far below the sum sees the last.
    atol = 2.0**-102 * abs(left.log_alpha_bar.high[np.isfinite(left.log_alpha_bar.high)]).max()
    np.testing.assert_allclose(left.to_betas(), joined, rtol=1e-14, atol=atol)


@ALL
def test_law_3_the_empty_schedule_is_the_identity(schedule: Schedule) -> None:
    empty = schedule[:0]
    assert len(empty) == 0
    assert list(empty) == []
    assert empty.compose(schedule) == schedule.compose(empty) == schedule
    end = schedule[len(schedule) :]
    assert end.origin == schedule[-1]
    assert schedule.compose(end) == schedule


@given(st.data())
def test_law_4_subsampling_commutes_with_compose_where_the_seam_is_kept(
    data: st.DataObject,
) -> None:
    schedule = data.draw(respaced())
    k = data.draw(st.integers(1, len(schedule)))
    head, tail = schedule[:k], schedule[k:]
    first = np.union1d(data.draw(subsets(k)), [k - 1])
    second = data.draw(subsets(len(tail), min_size=0)) if len(tail) else np.arange(0)
    together = head.compose(tail)[np.concatenate([first, k + second])]
    assert together == head[first].compose(tail[second])


@ALL
def test_law_5_exporting_and_importing_are_inverses(schedule: Schedule) -> None:
    assert Schedule.from_dict(json.loads(json.dumps(schedule.to_dict(), allow_nan=False))) == (
        schedule
    )
    if schedule.origin.sigma > 0:
        return
    log_snr = schedule.to_log_snr()
    again = Schedule.from_log_snr(log_snr, kind=schedule.kind).to_log_snr()
    np.testing.assert_allclose(again, log_snr, rtol=1e-14, atol=1e-14)
    if has_signal(schedule):
        sigmas = schedule.to_sigmas()
        np.testing.assert_allclose(Schedule.from_sigmas(sigmas).to_sigmas(), sigmas, rtol=1e-13)
    betas = schedule.as_vp().to_betas()
    if (betas[:-1] < 1).all():
        again = Schedule.from_betas(betas).to_betas()
        np.testing.assert_allclose(again, betas, rtol=1e-15)
    cumprod = schedule.as_vp().to_alphas_cumprod()
    if (np.diff(cumprod) < 0).all() and cumprod[0] < 1:
        again = Schedule.from_alphas_cumprod(cumprod).to_alphas_cumprod()
        np.testing.assert_allclose(again, cumprod, rtol=1e-13)


@given(respaced())
def test_law_5_json_is_exact(schedule: Schedule) -> None:
    again = Schedule.from_dict(json.loads(json.dumps(schedule.to_dict(), allow_nan=False)))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert again.timesteps.dtype == schedule.timesteps.dtype
    np.testing.assert_array_equal(curve.places_of(again), curve.places_of(schedule))
    for part, other in zip(again.log_alpha_bar, schedule.log_alpha_bar, strict=True):
        np.testing.assert_array_equal(part, other)


@given(st.data())
def test_law_6_a_choice_of_a_shift_is_the_shift_of_the_choice(data: st.DataObject) -> None:
    base, factor = data.draw(schedules()), data.draw(st.floats(0.1, 10))
    assume(isinstance(base.timestep_rule, np.ndarray) and base.curve is None)
    kept = data.draw(subsets(len(base)))
    ours, theirs = base[kept].shift(factor), base.shift(factor)[kept]
    assert close(ours, theirs, 1e-14)
    for schedule in (ours, theirs):
        levels = curve.base_of(schedule).log_alpha_bar.high
        places = curve.places_of(schedule)
        assert not (places % 2).any()
        np.testing.assert_array_equal(levels[places // 2], schedule.log_alpha_bar.high)


@given(respaced(), st.floats(0.1, 10), st.floats(0.1, 10))
def test_law_6_shifts_multiply(schedule: Schedule, a: float, b: float) -> None:
    assert close(schedule.shift(a).shift(b), schedule.shift(a * b), 1e-12)
    assert close(schedule.shift(1.0), schedule)
    expected = schedule.to_log_snr() - 2 * np.log(a)
    np.testing.assert_allclose(schedule.shift(a).to_log_snr(), expected, rtol=1e-12, atol=1e-12)


@ALL
def test_law_6_a_stretch_of_a_shift_is_a_shifted_stretch(schedule: Schedule) -> None:
    k = len(schedule) // 2
    for factor in (1e-3, 0.3, 7.0):
        ours, theirs = schedule[k:].shift(factor), schedule.shift(factor)[k:]
        assert close(ours, theirs)
        here, there = ours.origin, theirs.origin
        assert here.log_snr == pytest.approx(there.log_snr, rel=1e-13, abs=1e-13)
        if here.timestep is not None:
            assert here.timestep == pytest.approx(there.timestep, rel=1e-13)
        # The two halves, shifted apart, still fit.
        again = schedule[:k].shift(factor).compose(ours)
        assert close(again, schedule.shift(factor))


@given(st.integers(1, 50), st.floats(0.1, 10))
def test_law_6_the_flow_shift_is_the_log_snr_shift(n: int, factor: float) -> None:
    t = Schedule.flow(n).sigma
    shifted = Schedule.flow(n).shift(factor)
    np.testing.assert_allclose(shifted.sigma, factor * t / (1 + (factor - 1) * t), rtol=1e-14)
    np.testing.assert_array_equal(shifted.timesteps, shifted.sigma)
    assert Schedule.flow(n, shift=factor) == shifted


@ALL
def test_law_7_changing_scale_keeps_the_snr_and_forgets_nothing(schedule: Schedule) -> None:
    for other in (schedule.as_vp(), schedule.as_flow()):
        np.testing.assert_array_equal(other.to_log_snr(), schedule.to_log_snr())
        np.testing.assert_array_equal(other.timesteps, schedule.timesteps)
    back = {"vp": Schedule.as_vp, "ve": Schedule.as_ve, "flow": Schedule.as_flow}[schedule.kind]
    assert back(schedule.as_vp().as_flow()) == schedule
    vp, flow = schedule.as_vp(), schedule.as_flow()
    np.testing.assert_allclose(vp.alpha**2 + vp.sigma**2, 1, rtol=1e-15)
    np.testing.assert_allclose(flow.alpha + flow.sigma, 1, rtol=1e-15)
    if has_signal(schedule):
        ve = schedule.as_ve()
        assert (ve.alpha == 1).all()
        np.testing.assert_array_equal(ve.sigma, schedule.to_sigmas())


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
@pytest.mark.parametrize("base", [Schedule.linear(100), Schedule.karras(100), Schedule.flow(100)])
def test_law_7_one_network_gives_one_image_in_every_scale(base: Schedule, prediction: str) -> None:
    def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        return np.tanh(x) * np.cos(timesteps[:, None])

    schedule = base[:99].subsample(steps=10)
    x = np.random.default_rng(0).standard_normal((3, 5)) * schedule.prior_std
    images = []
    for other in (schedule.as_vp(), schedule.as_ve(), schedule.as_flow()):
        scaled = x * (other.sigma[-1] / schedule.sigma[-1])
        images.append(sample(network, other, DDIM(), scaled, prediction=prediction))
    np.testing.assert_allclose(images[1], images[0], rtol=1e-12)
    np.testing.assert_allclose(images[2], images[0], rtol=1e-12)


@given(st.data())
@pytest.mark.parametrize("sampler", [DDPM(), DDPM("fixed_large"), DDIM(), DDIM(0.5), DDIM(1.0)])
def test_law_8_a_respaced_loop_is_the_loop_over_sparse_timesteps(
    sampler: DDPM | DDIM, data: st.DataObject
) -> None:
    """The loop below knows the full schedule's ᾱ and a list of timesteps, and nothing else."""
    betas = data.draw(st.lists(st.floats(1e-4, 0.3), min_size=1, max_size=40))
    base = Schedule.from_betas(betas)
    kept = data.draw(subsets(len(base))).tolist()
    told: set[int] = set()

    def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        told.update(timesteps.tolist())
        return np.sin(3 * x) + 0.01 * timesteps[:, None]

    start = np.random.default_rng(1).standard_normal((2, 3))
    result = sample(
        network,
        base.subsample(indices=kept),
        sampler,
        start,
        noise=np.random.default_rng(7),
    )
    assert told == set(kept)

    alphas_cumprod = base.to_alphas_cumprod()
    rng = np.random.default_rng(7)
    x = start
    for i in reversed(range(len(kept))):
        t = kept[i]
        now = alphas_cumprod[t]
        before = alphas_cumprod[kept[i - 1]] if i else 1.0
        eps = network(x, np.full(2, t))
        x0 = (x - np.sqrt(1 - now) * eps) / np.sqrt(now)
        beta = 1 - now / before
        posterior = beta * (1 - before) / (1 - now)
        if isinstance(sampler, DDPM):
            mean = (np.sqrt(before) * beta * x0 + np.sqrt(1 - beta) * (1 - before) * x) / (1 - now)
            variance = posterior if sampler.variance == "fixed_small" else beta
        else:
            variance = sampler.eta**2 * posterior
            mean = np.sqrt(before) * x0 + np.sqrt(1 - before - variance) * eps
        x = mean
        if i and variance > 0:
            x = x + np.sqrt(variance) * rng.standard_normal(x.shape)
    np.testing.assert_allclose(result, x, rtol=1e-8, atol=1e-8)
