"""Walking a path in parts is walking it whole, noise included, with one seed."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schedalg import DDIM, DDPM, LCM, TCD, EulerAncestral, Heun, Midpoint, Schedule, sample
from schedalg.running.arrivals import CLEAN, arrivals, level_word
from schedalg.testing.strategies import schedules
from tests.registry.references import StepDDPM

SAMPLERS = [
    DDIM(),
    DDIM(0.7),
    DDPM(),
    DDPM("fixed_large"),
    EulerAncestral(),
    EulerAncestral(0.4),
    LCM(),
    TCD(0.3),
    Heun(),
    Midpoint(eta=0.5),
    StepDDPM(),
]
X = np.random.default_rng(3).standard_normal((3, 2, 5))


def network(x: Any, timesteps: Any) -> Any:
    return 0.9 * x / (1 + x * x)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
@given(schedules(), st.data())
def test_any_cut(sampler: Any, schedule: Schedule, data: Any) -> None:
    words = [level_word(value) for value in schedule.to_log_snr().tolist()]
    assume(len(set(words)) == len(words))  # levels within 1e-6 of one another share their noise
    k = data.draw(st.integers(0, len(schedule)))
    how: dict[str, Any] = {"noise": 7, "prediction": "v"}
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # where alpha is 1e-150
            whole = sample(network, schedule, sampler, X, **how)
    except ValueError as error:
        if "different" in str(error) or "float" in str(error):
            return
        raise
    with np.errstate(over="ignore", invalid="ignore"):
        upper = sample(network, schedule[k:], sampler, X, **how)
        parts = sample(network, schedule[:k], sampler, upper, **how)
    if isinstance(sampler, Midpoint):  # its stages lie between points, which a cut may round
        np.testing.assert_allclose(parts, whole, rtol=1e-9, atol=1e-9)
    else:
        np.testing.assert_array_equal(parts, whole)


def test_the_variance_of_a_walk_in_parts() -> None:
    """On N(0, 1), one seed over two stretches once used the same draws twice: 0.95, not 0.71."""
    base = Schedule.linear(1000).subsample(steps=20, spacing="trailing")
    alpha = base.alpha

    def exact(x: Any, timesteps: Any) -> Any:
        return alpha[np.searchsorted(base.timesteps, timesteps)][:, None] * x

    x = np.random.default_rng(0).standard_normal((40_000, 1))
    how: dict[str, Any] = {"noise": 7, "prediction": "x0"}
    whole = sample(exact, base, DDPM(), x, **how)
    parts = sample(exact, base[:10], DDPM(), sample(exact, base[10:], DDPM(), x, **how), **how)
    np.testing.assert_array_equal(parts, whole)
    assert whole.var() == pytest.approx(0.712, abs=0.02)


@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
def test_levels_are_told_apart_and_are_the_same_in_every_scale(kind: str) -> None:
    base = Schedule.linear(10**5)
    schedule = getattr(base, f"as_{kind}")()
    start, draws = arrivals(DDIM().plan(schedule))
    words = draws[:, 0].tolist()
    assert len(set(words)) == 10**5
    assert words[-1] == CLEAN
    assert [start[0], *words[:-1]] == [level_word(value) for value in base.to_log_snr()[::-1]]
    assert not draws[:, 1].any()


def test_levels_do_not_depend_on_the_way_to_them() -> None:
    """Through betas, alphas, sigmas, halves of a shift: other last bits, and the same words."""
    base = Schedule.cosine(1000)[:-1]
    words = arrivals(DDIM().plan(base))[1]
    for other in (
        Schedule.from_betas(base.to_betas()),
        Schedule.from_alphas_cumprod(base.to_alphas_cumprod()),
        Schedule.from_sigmas(base.to_sigmas()).as_vp(),
        base.shift(1.3).shift(1 / 1.3),
        base[:400].compose(base[400:]),
    ):
        np.testing.assert_array_equal(arrivals(DDIM().plan(other))[1], words)


def test_a_level_that_is_visited_again_has_other_noise() -> None:
    from schedalg import Restart

    _, draws = arrivals(Restart(DDPM(), [(2, 6, 3)]).plan(Schedule.linear(10)))
    pairs = list(map(tuple, draws.tolist()))
    assert len(set(pairs)) == len(pairs)
    assert max(visit for _, visit in pairs) == 3
