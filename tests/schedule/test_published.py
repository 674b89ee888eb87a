"""Spacings that others have published: against their lists, and against their formulas in words."""

import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import Schedule
from schedalg.schedule.published import PUBLISHED, published_levels
from tests.bad_input import KARRAS, ZERO_SNR, check_named

SD = Schedule.scaled_linear(1000)  # that of Stable Diffusion
FLOW = Schedule.flow(1000, shift=3.0)
SIGMAS = SD.to_sigmas()
NEED_SCIPY = pytest.mark.skipif(
    not importlib.util.find_spec("scipy"), reason="SciPy is not installed"
)


def falling(schedule: Schedule) -> np.ndarray:
    """Return sigma / alpha, or t on a flow, from the most noisy point to the least."""
    return (schedule.sigma if schedule.kind == "flow" else schedule.to_sigmas())[::-1]


def between(timestep: float) -> float:
    """Return a web UI's sigma at a timestep: linear in log sigma between two entries."""
    return float(np.exp(np.interp(timestep, np.arange(1000), np.log(SIGMAS))))


def simple(n: int) -> list[float]:
    stride = len(SIGMAS) / n
    return [SIGMAS[-(1 + int(k * stride))] for k in range(n)]


def sgm_uniform(n: int) -> list[float]:
    return [between(t) for t in np.linspace(999, 0, n + 1)[:-1]]


def kl_optimal(n: int) -> list[float]:
    low, high = math.atan(SIGMAS[0]), math.atan(SIGMAS[-1])
    return [math.tan(k / (n - 1) * low + (1 - k / (n - 1)) * high) for k in range(n)]


def linear_quadratic(n: int) -> list[float]:
    """The formula of Mochi, with its own coefficients."""
    threshold, linear = 0.025, n // 2
    difference, quadratic = linear - threshold * n, n - linear
    a = difference / (linear * quadratic**2)
    b = threshold / linear - 2 * difference / quadratic**2
    drops = [i * threshold / linear for i in range(linear)]
    drops += [a * i**2 + b * i + a * linear**2 for i in range(linear, n)]
    return [(1 - drop) * SIGMAS[-1] for drop in drops]


def bong_tangent(n: int) -> list[float]:
    """The formula of RES4LYF, with its defaults: two arcs from 1 to 0.5 and from 0.5 to 0."""

    def arc(count: int, slope: float, pivot: int, start: float, end: float) -> list[float]:
        values = [(2 / math.pi * math.atan(-slope * (x - pivot)) + 1) / 2 for x in range(count)]
        top, bottom = values[0], values[-1]
        return [(v - bottom) / (top - bottom) * (start - end) + end for v in values]

    steps = n + 2
    midpoint, pivot = int((steps * 0.6 + steps * 0.6) / 2), int(steps * 0.6)
    slope = 0.2 / (steps / 40)
    first = arc(midpoint, slope, pivot, 1.0, 0.5)
    second = arc(steps - midpoint, slope, pivot - midpoint, 0.5, 0.0)
    both = first[:-1] + second
    assert len(both) == n + 1
    assert both[-1] == 0
    return [v * SIGMAS[-1] for v in both[:-1]]


FORMULAS: dict[str, Callable[[int], list[float]]] = {
    "simple": simple,
    "sgm_uniform": sgm_uniform,
    "kl_optimal": kl_optimal,
    "linear_quadratic": linear_quadratic,
    "bong_tangent": bong_tangent,
}


@pytest.mark.parametrize("spacing", FORMULAS)
@pytest.mark.parametrize("steps", [2, 5, 10, 13, 30])
def test_spacings_follow_their_formulas(spacing: str, steps: int) -> None:
    fast = SD.subsample(steps=steps, spacing=spacing)
    np.testing.assert_allclose(falling(fast), FORMULAS[spacing](steps), rtol=1e-11)
    for point in fast:
        assert abs(point.log_snr - SD.at(point.timestep).log_snr) < 1e-10


def test_bong_tangent_of_one_step_is_half_of_the_last_level() -> None:
    one = SD.subsample(steps=1, spacing="bong_tangent")  # a warning would be an error
    np.testing.assert_allclose(falling(one), [SIGMAS[-1] / 2], rtol=1e-11)


@pytest.mark.parametrize("n", [1, 4, 10])
def test_kl_optimal_is_comfyui_s_list_and_one_more_than_automatic1111_s(n: int) -> None:
    low, high = math.atan(SIGMAS[0]), math.atan(SIGMAS[-1])
    theirs = [math.tan(i / n * low + (1 - i / n) * high) for i in range(n + 1)]  # no 0 after it
    one_more = SD.subsample(steps=n + 1, spacing="kl_optimal")
    np.testing.assert_allclose(falling(one_more), theirs, rtol=1e-11)
    np.testing.assert_allclose(falling(one_more), kl_optimal(n + 1), rtol=1e-11)
    assert one_more.origin.sigma == 0


def test_simple_strides_never_coincide() -> None:
    for steps in range(1, 1001):
        kept = SD.subsample(steps=steps, spacing="simple").timesteps
        assert kept.tolist() == [999 - int(k * (1000 / steps)) for k in range(steps)][::-1]


def test_ddim_uniform_is_as_published_up_to_the_count() -> None:
    same = set()
    for steps in range(1, 1000):
        kept = SD.subsample(steps=steps, spacing="ddim_uniform").timesteps.tolist()
        published = list(range(1, 1000, max(1000 // steps, 1)))
        assert kept == published[:steps]
        if kept == published:
            same.add(steps)
    assert same >= {1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250, 500}
    assert SD.subsample(steps=1000, spacing="ddim_uniform") == SD
    seven = SD.subsample(steps=7, spacing="ddim_uniform")
    assert (seven.timesteps[-1], seven.prior_std) == (853, 1.0)


@NEED_SCIPY
def test_beta_timesteps_are_as_published_where_none_coincide() -> None:
    from scipy.stats import beta

    for steps in (1, 5, 20, 50, 100, 150, 300, 999, 1000):
        kept = SD.subsample(steps=steps, spacing="beta_timesteps").timesteps
        quantiles = beta.ppf(1 - np.linspace(0, 1, steps, endpoint=False), 0.6, 0.6)
        published = np.unique(np.rint(quantiles * 999))
        assert len(kept) == steps
        if len(published) == steps:
            np.testing.assert_array_equal(kept, published)
        else:
            assert steps > 100
            assert (np.diff(kept) > 0).all()


#: The timesteps and the rounded sigmas of `AysSchedules` in diffusers 0.42.1.
AYS_SCHEDULES: dict[str, tuple[list[int], list[float]]] = {
    "ays_sd15": (
        [999, 850, 736, 645, 545, 455, 343, 233, 124, 24],
        [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.0],
    ),
    "ays_sdxl": (
        [999, 845, 730, 587, 443, 310, 193, 116, 53, 13],
        [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.0],
    ),
}


def test_align_your_steps_are_the_timesteps_that_diffusers_lists() -> None:
    for name, (timesteps, sigmas) in AYS_SCHEDULES.items():
        fast = SD.subsample(steps=10, spacing=name)
        assert fast.timesteps[::-1].tolist() == timesteps
        np.testing.assert_allclose(falling(fast), sigmas[:-1], atol=3.5e-3)
        pasted = SD.subsample(sigmas=sigmas)
        assert np.abs(pasted.timesteps - fast.timesteps).max() < 1
    video = Schedule.karras(25, 0.002, 700.0).subsample(steps=10, spacing="ays_svd")
    listed = [700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034]
    np.testing.assert_allclose(falling(video), listed, rtol=1e-12)


def test_published_flows_are_their_times() -> None:
    flux = [0.9968, 0.9886, 0.9819, 0.975, 0.966, 0.9471, 0.9158, 0.8287, 0.5512, 0.2808]
    np.testing.assert_allclose(falling(FLOW.subsample(steps=10, spacing="oss_flux")), flux)
    assert FLOW.subsample(steps=10, spacing="oss_flux") == FLOW.subsample(sigmas=[*flux, 0])
    wan = FLOW.subsample(steps=20, spacing="oss_wan")
    assert falling(wan)[[0, 1, -1]].round(12).tolist() == [1.0, 0.997, 0.208]


def test_gits_lists_have_a_length_each() -> None:
    for steps in range(2, 21):
        levels = published_levels("gits", steps)
        assert len(levels) == steps
        assert levels[-1] == 14.61464119
    np.testing.assert_array_equal(
        published_levels("gits", 3)[::-1], [14.61464119, 1.56271636, 0.52423614]
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_other_counts_are_between_in_the_logarithm(name: str) -> None:
    # Twice the calls: every other level is one of the list, and the others are their means.
    count = {"oss_wan": 20, "oss_chroma": 40, "gits": 20}.get(name, 10)
    levels, twice = published_levels(name, count), published_levels(name, 2 * count)
    assert len(twice) == 2 * count
    np.testing.assert_allclose(twice[1::2], levels, rtol=1e-12)
    np.testing.assert_allclose(twice[2::2] ** 2, levels[:-1] * levels[1:], rtol=1e-12)


def test_pasted_levels_are_the_points_that_have_them() -> None:
    kept = [0, 5, 37, 500, 998, 999]
    levels = SD[kept].to_sigmas()
    assert SD.subsample(sigmas=levels) == SD[kept]
    assert SD.subsample(sigmas=[*levels[::-1], 0]) == SD[kept]
    assert SD.subsample(sigmas=levels.astype(np.float32)) == SD[kept]
    assert SD.subsample(sigmas=", ".join(map(repr, levels.tolist()))) == SD[kept]
    part = SD[::7].subsample(sigmas=SD[[3, 500]].to_sigmas())
    assert part.timesteps.tolist() == [3, 500]
    assert part.at(100.5) == SD.at(100.5)
    assert SD.as_ve().subsample(sigmas=levels) == SD.as_ve()[kept]
    part = SD[500:900].subsample(sigmas=SIGMAS[[500, 600]])
    assert part == SD[500:900][[0, 100]]
    assert part.origin == SD[499]
    # A list that was rounded upwards, and its rest.
    assert SD.subsample(sigmas="14.615, 1.0, 0.029")[[0, 2]] == SD[[0, 999]]
    karras = KARRAS.subsample(sigmas=[80.0, 3.0, 0.001])
    np.testing.assert_allclose(karras.timesteps, [0.001, 3.0, 80.0], rtol=1e-15)


def test_gradients_of_a_schedule_reach_its_grids() -> None:
    torch = pytest.importorskip("torch")
    high = torch.tensor(80.0, dtype=torch.float64, requires_grad=True)
    karras = Schedule.karras(10, sigma_max=high)
    karras.subsample(steps=5, spacing="linear_quadratic").to_sigmas().sum().backward()
    levels = Schedule.karras(10).subsample(steps=5, spacing="linear_quadratic").to_sigmas()
    np.testing.assert_allclose(high.grad.item(), levels.sum() / 80, rtol=1e-12)


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "a list of another network": (
        lambda: SD.subsample(steps=10, spacing="ays_svd"),
        ValueError,
        ["spacing='ays_svd'", "15.886", "0.0291672 to 14.6146"],
    ),
    "a level beyond the last": (
        lambda: SD.subsample(sigmas=[15.0, 1.0, 0.0]),
        ValueError,
        ["sigmas[1]", "15.0", "14.6146"],
    ),
    "a level before the first": (
        lambda: SD.subsample(sigmas=[0.02, 1.0]),
        ValueError,
        ["sigmas[0]", "0.02", "0.0291672"],
    ),
    "a level of the origin": (
        lambda: SD[500:900].subsample(sigmas=[SIGMAS[499], 5.0]),
        ValueError,
        ["sigmas[0]", "run from"],
    ),
    "a level before the origin": (
        lambda: SD[::9][50:90].subsample(sigmas=[1.0, 5.0]),
        ValueError,
        ["sigmas[0]", "1.0"],
    ),
    "a level before the origin of sigmas": (
        lambda: KARRAS[5:].subsample(sigmas=[KARRAS.sigma[4] * 0.999, 50.0]),
        ValueError,
        ["sigmas[0]", "80"],
    ),
    "levels in disorder": (
        lambda: SD.subsample(sigmas="1, 3, 2"),
        ValueError,
        ["sigmas[2]", "2.0", "rise or fall"],
    ),
    "levels of words": (
        lambda: SD.subsample(sigmas="14.6 … 0"),
        ValueError,
        ["sigmas[1]", "'…'", "numbers"],
    ),
    "levels and steps": (
        lambda: SD.subsample(sigmas=[1.0], steps=1),
        ValueError,
        ["one way", "steps, sigmas"],
    ),
    "pure noise": (
        lambda: ZERO_SNR.subsample(steps=5, spacing="kl_optimal"),
        ValueError,
        ["point 9", "zero signal", "schedule[:9]"],
    ),
    "rounded, by level": (
        lambda: KARRAS.subsample(steps=5, spacing="kl_optimal", rounded=True),
        ValueError,
        ["rounded", "noise levels"],
    ),
    "offset, by level": (
        lambda: SD.subsample(steps=5, spacing="gits", offset=1),
        ValueError,
        ["offset", "'gits'"],
    ),
    "rounded, sgm_uniform": (
        lambda: SD.subsample(steps=5, spacing="sgm_uniform", rounded=True),
        ValueError,
        ["rounded", "'sgm_uniform'"],
    ),
    "offset, sgm_uniform": (
        lambda: SD.subsample(steps=5, spacing="sgm_uniform", offset=1),
        ValueError,
        ["offset", "'sgm_uniform'"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
