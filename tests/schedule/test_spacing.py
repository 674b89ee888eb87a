"""Which points are kept: counts, ends, and the indices of other people's code."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedalg import Schedule
from schedalg.schedule.spacing import sections_of
from tests.bad_input import KARRAS, LINEAR, ZERO_SNR, check_named
from tests.registry.schedules import has_signal, on_every_schedule

INDEX_SPACINGS = ["leading", "trailing", "linspace", "quadratic", "simple", "ddim_uniform"]
NOISE_SPACINGS = ["log_snr", "exponential", "karras", "kl_optimal"]
if importlib.util.find_spec("scipy"):
    INDEX_SPACINGS.append("beta_timesteps")
    NOISE_SPACINGS.append("beta")
BASE = Schedule.linear(1000)


@pytest.mark.parametrize("spacing", INDEX_SPACINGS)
def test_n_requested_is_n_returned(spacing: str) -> None:
    for n in (1, 2, 3, 10, 97, 100):
        base = Schedule.linear(n)
        for steps in range(1, n + 1):
            kept = base.subsample(steps=steps, spacing=spacing).timesteps
            assert len(kept) == steps
            assert (np.diff(kept) > 0).all()
            assert 0 <= kept[0] <= kept[-1] < n


def test_every_count_of_1000() -> None:
    for steps in range(1, 1001):
        trailing = BASE.subsample(steps=steps, spacing="trailing").timesteps
        assert len(trailing) == steps
        assert trailing[-1] == 999
        published = np.round(np.arange(1000, 0, -1000 / steps)).astype(int) - 1
        if len(published) == steps:
            np.testing.assert_array_equal(trailing, published[::-1])
        assert BASE.subsample(steps=steps).timesteps.tolist() == trailing.tolist()
        leading = BASE.subsample(steps=steps, spacing="leading").timesteps
        assert leading.tolist() == [i * (1000 // steps) for i in range(steps)]
        linspace = BASE.subsample(steps=steps, spacing="linspace").timesteps
        np.testing.assert_array_equal(linspace, np.round(np.linspace(0, 999, steps)))


def test_spacings_by_hand() -> None:
    def kept(spacing: str, **options: int) -> list[int]:
        return list(BASE.subsample(steps=5, spacing=spacing, **options).timesteps.tolist())

    assert kept("leading") == [0, 200, 400, 600, 800]
    assert kept("leading", offset=1) == [1, 201, 401, 601, 801]
    assert kept("leading", offset=199) == [199, 399, 599, 799, 999]
    assert kept("trailing") == [199, 399, 599, 799, 999]
    assert kept("linspace") == [0, 250, 500, 749, 999]
    assert kept("quadratic") == [0, 62, 249, 561, 999]
    assert Schedule.linear(10).subsample(steps=4, spacing="trailing").timesteps.tolist() == (
        [1, 4, 7, 9]  # 2.5 and 7.5 round half to even, to 2 and 8
    )
    assert Schedule.linear(6).subsample(steps=5, spacing="quadratic").timesteps.tolist() == (
        [0, 1, 2, 3, 5]  # floor(5 i²/16) is 0, 0, 1, 2, 5
    )


def test_every_and_strides() -> None:
    assert BASE.subsample(every=10) == BASE[::10]
    assert BASE.subsample(steps=100, spacing="leading") == BASE[::10]
    assert BASE.subsample(every=1000).timesteps.tolist() == [0]
    assert BASE.subsample(every=333).timesteps.tolist() == [0, 333, 666, 999]


def test_timesteps_are_looked_up() -> None:
    fast = BASE.subsample(timesteps=[3, 500, 999])
    assert fast == BASE[[3, 500, 999]]
    assert fast.subsample(timesteps=[500]) == BASE[[500]]
    assert BASE.subsample(timesteps=np.array([3.0, 500.0])) == BASE[[3, 500]]
    karras = Schedule.karras(5)
    assert karras.subsample(timesteps=[0.002, 80.0]) == karras[[0, 4]]


def test_timesteps_in_a_shorter_float_are_found_to_its_rounding() -> None:
    flow, third = Schedule.flow(10), Schedule.from_betas([0.1] * 3, timesteps=[0, 1 / 3, 2 / 3])
    for dtype in (np.float32, np.float16):
        t = np.linspace(0.1, 1, 10, dtype=dtype)
        assert flow.subsample(timesteps=t) == flow
        assert flow.subsample(timesteps=t[[0, 6]]) == flow[[0, 6]]
        assert third.subsample(timesteps=np.array([1 / 3], dtype=dtype)) == third[[1]]
    with pytest.raises(ValueError, match=r"timesteps\[0\] .* not a timestep of"):
        flow.subsample(timesteps=np.array([0.10001], dtype=np.float32))
    with pytest.raises(ValueError, match="not a timestep of"):
        third.subsample(timesteps=[np.float32(1 / 3).item()])
    torch = pytest.importorskip("torch")
    backwards = torch.linspace(1, 0.1, 10)
    assert flow.subsample(timesteps=backwards.flip(0)) == flow


def accumulated(n: int, count: int) -> list[int]:
    """Accumulate a fractional stride, for a single section, as the published code does."""
    stride = (n - 1) / (count - 1) if count > 1 else 1
    position, kept = 0.0, []
    for _ in range(count):
        kept.append(round(position))
        position += stride
    return kept


def test_sections_accumulate_as_published() -> None:
    multiplied = 0
    for count in range(1, 1001):
        kept = BASE.subsample(sections=[count]).timesteps.tolist()
        assert kept == accumulated(1000, count)
        stride = 999 / max(count - 1, 1)
        multiplied += kept != [round(k * stride) for k in range(count)]
    # The counts at which accumulating and multiplying differ; the first are 21, 23 and 31.
    assert multiplied == 278
    assert sections_of(1000, "21") != [round(k * 999 / 20) for k in range(21)]


def test_sections_by_hand() -> None:
    thirds = Schedule.linear(300).subsample(sections="10,15,20")
    assert len(thirds) == 45
    assert thirds == Schedule.linear(300).subsample(sections=[10, 15, 20])
    assert thirds.timesteps[:3].tolist() == [0, 11, 22]
    assert thirds.timesteps[[9, 10, 24, 25, 44]].tolist() == [99, 100, 199, 200, 299]
    # The first sections get one step more where the division leaves a rest.
    assert sections_of(11, [1, 1, 1]) == [0, 4, 8]
    assert sections_of(11, "4,4,3") == list(range(11))
    assert sections_of(1000, 250) == sections_of(1000, "250") == sections_of(1000, [250])
    assert sections_of(5, "1") == [0]


def test_ddim_strides() -> None:
    assert sections_of(1000, "ddim25") == list(range(0, 1000, 40))
    possible = 0
    for count in range(1, 1001):
        strides = [s for s in range(1, 1000) if len(range(0, 1000, s)) == count]
        if strides:
            possible += 1
            assert sections_of(1000, f"ddim{count}") == list(range(0, 1000, strides[0]))
        else:
            with pytest.raises(ValueError, match="no whole stride"):
                sections_of(1000, f"ddim{count}")
    assert possible == 62
    assert sections_of(1, "ddim1") == [0]


def wide(schedule: Schedule) -> bool:
    """Whether there are a hundred noise levels that differ: not on a path of betas of 1e-12."""
    log_snr = schedule.to_log_snr()
    return has_signal(schedule) and bool(log_snr[0] - log_snr[-1] > 1e-6)


@pytest.mark.parametrize("spacing", NOISE_SPACINGS)
@on_every_schedule((2, 30), wide)
def test_noise_spacings_keep_the_ends_and_the_number(schedule: Schedule, spacing: str) -> None:
    rising = bool((np.diff(schedule.timesteps) > 0).all())
    for steps in (1, 2, 5, 100):
        fast = schedule.subsample(steps=steps, spacing=spacing)
        assert len(fast) == steps
        assert fast[-1].log_snr == schedule[-1].log_snr
        if steps > 1:
            assert fast[0].log_snr == schedule[0].log_snr
        assert (np.diff(fast.to_log_snr()) < 0).all()
        assert (np.diff(fast.timesteps) > 0).all() or not rising


def test_noise_spacings_are_what_their_papers_say() -> None:
    low, high = BASE.to_sigmas()[[0, -1]]
    u = np.linspace(0, 1, 9)
    grids = {
        "log_snr": np.exp(np.log(low) + u * (np.log(high) - np.log(low))),
        "exponential": np.exp(np.log(low) + u * (np.log(high) - np.log(low))),
        "karras": (low ** (1 / 7) + u * (high ** (1 / 7) - low ** (1 / 7))) ** 7,
    }
    for spacing, expected in grids.items():
        fast = BASE.subsample(steps=9, spacing=spacing)
        np.testing.assert_allclose(fast.to_sigmas(), expected, rtol=1e-12)
        # Each lies where its timestep says, on the line between its neighbours.
        for point in fast:
            assert point.log_snr == pytest.approx(BASE.at(point.timestep).log_snr, abs=1e-11)
        rounded = BASE.subsample(steps=9, spacing=spacing, rounded=True)
        assert rounded.timesteps.dtype == np.int64
        np.testing.assert_array_equal(rounded.to_sigmas(), fast.to_sigmas())
        assert (np.abs(rounded.timesteps - fast.timesteps) <= 0.5 + 1e-9).all()


@pytest.mark.skipif("beta" not in NOISE_SPACINGS, reason="SciPy is not installed")
def test_beta_spacing_is_the_quantile_function() -> None:
    from scipy.stats import beta

    low, high = BASE.to_sigmas()[[0, -1]]
    expected = low + beta.ppf(np.linspace(0, 1, 12), 0.6, 0.6) * (high - low)
    fast = BASE.subsample(steps=12, spacing="beta")
    np.testing.assert_allclose(fast.to_sigmas(), expected, rtol=1e-12)


def test_rounded_timesteps_may_repeat_and_points_are_still_apart() -> None:
    rounded = BASE.subsample(steps=100, spacing="karras", rounded=True)
    assert len(rounded) == 100
    assert (np.diff(rounded.timesteps) == 0).any()
    assert (np.diff(rounded.to_sigmas()) > 0).all()
    assert set(rounded.timesteps.tolist()) <= set(BASE.timesteps.tolist())


@given(st.integers(1, 300), st.data())
def test_indices_and_masks_agree(n: int, data: st.DataObject) -> None:
    base = Schedule.linear(n)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    assert base[mask] == base[mask.tolist()] == base[np.flatnonzero(mask)]
    if mask.any():
        assert base.subsample(indices=mask) == base[mask]


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "every 0": (lambda: LINEAR.subsample(every=0), ValueError, ["every", "0"]),
    "every < 0": (lambda: LINEAR.subsample(every=-2), ValueError, ["every", "-2"]),
    "every > N": (lambda: LINEAR.subsample(every=11), ValueError, ["every", "10", "11"]),
    "every float": (lambda: LINEAR.subsample(every=2.5), TypeError, ["every", "2.5"]),
    "two ways": (
        lambda: LINEAR.subsample(every=2, steps=5),
        ValueError,
        ["one way", "every, steps"],
    ),
    "no points by noise": (
        lambda: LINEAR[:0].subsample(steps=2, spacing="karras"),
        ValueError,
        ["empty schedule"],
    ),
    "no points by sigmas": (
        lambda: LINEAR[:0].subsample(sigmas=[1.0, 2.0]),
        ValueError,
        ["empty schedule"],
    ),
    "no way": (lambda: LINEAR.subsample(), ValueError, ["one way", "subsample(steps=20)", "none"]),
    "a number alone": (
        lambda: LINEAR.subsample(4),  # type: ignore[call-arg]
        TypeError,
        ["by name", "steps=4 keeps 4 points", "every=4 those at 0, 4, 8, ...", "got 4"],
    ),
    "a list alone": (
        lambda: LINEAR.subsample([0, 4]),  # type: ignore[call-arg]
        TypeError,
        ["by name", "indices=", "timesteps=", "got [0, 4]"],
    ),
    "spacing without steps": (
        lambda: LINEAR.subsample(spacing="karras"),
        ValueError,
        ["spacing", "give steps="],
    ),
    "spacing alone": (
        lambda: LINEAR.subsample(every=2, spacing="leading"),
        ValueError,
        ["spacing", "every="],
    ),
    "steps 0": (lambda: LINEAR.subsample(steps=0), ValueError, ["steps", "0"]),
    "steps > N": (lambda: LINEAR.subsample(steps=11), ValueError, ["steps", "10", "11"]),
    "spacing unknown": (
        lambda: LINEAR.subsample(steps=5, spacing="random"),
        ValueError,
        ["spacing", "'random'", "'leading'", "'karras'"],
    ),
    "offset too far": (
        lambda: LINEAR.subsample(steps=10, spacing="leading", offset=1),
        ValueError,
        ["offset", "1", "0 to 9"],
    ),
    "offset alone": (
        lambda: LINEAR.subsample(steps=5, offset=1),
        ValueError,
        ["offset", "without a spacing", "spacing='leading'"],
    ),
    "offset, trailing": (
        lambda: LINEAR.subsample(steps=5, spacing="trailing", offset=1),
        ValueError,
        ["offset", "'trailing'"],
    ),
    "rounded, leading": (
        lambda: LINEAR.subsample(steps=5, spacing="leading", rounded=True),
        ValueError,
        ["rounded", "'leading'"],
    ),
    "rounded, continuous": (
        lambda: KARRAS.subsample(steps=5, spacing="log_snr", rounded=True),
        ValueError,
        ["rounded", "noise levels"],
    ),
    "noise spacing at zero SNR": (
        lambda: ZERO_SNR.subsample(steps=5, spacing="karras"),
        ValueError,
        ["point 9", "zero signal", "schedule[:9]"],
    ),
    "index out of range": (
        lambda: LINEAR.subsample(indices=[1, 10]),
        ValueError,
        ["indices[1]", "10", "0 to 9"],
    ),
    "index negative": (lambda: LINEAR[[-1, 3]], ValueError, ["index[0]", "-1", "0 to 9"]),
    "index repeated": (
        lambda: LINEAR.subsample(indices=[1, 4, 4]),
        ValueError,
        ["indices[2]", "4", "repeats"],
    ),
    "timesteps noisiest first": (
        lambda: LINEAR.subsample(timesteps=[9, 5, 0]),
        ValueError,
        ["timesteps[1] is 5 after 9", "timesteps[::-1]"],
    ),
    "index unsorted": (
        lambda: LINEAR.subsample(indices=[4, 1]),
        ValueError,
        ["indices[1]", "1", "order"],
    ),
    "index float": (
        lambda: LINEAR.subsample(indices=[1.5]),
        TypeError,
        ["indices", "integers", "float64"],
    ),
    "no index": (lambda: LINEAR.subsample(indices=[]), ValueError, ["indices", "no point"]),
    "mask length": (
        lambda: LINEAR[np.ones(9, dtype=bool)],
        ValueError,
        ["mask", "10", "9"],
    ),
    "index 2-D": (lambda: LINEAR[np.ones((2, 2), dtype=int)], ValueError, ["1-D", "(2, 2)"]),
    "int out of range": (lambda: LINEAR[10], IndexError, ["10", "10 points"]),
    "index a string": (lambda: LINEAR["a"], (TypeError), ["index"]),
    "slice backwards": (lambda: LINEAR[::-1], ValueError, ["step", "-1"]),
    "timestep unknown": (
        lambda: LINEAR.subsample(timesteps=[3, 42]),
        ValueError,
        ["timesteps[1]", "42", "not a timestep"],
    ),
    "timesteps unsorted": (
        lambda: LINEAR.subsample(timesteps=[9, 3]),
        ValueError,
        ["timesteps[1]", "3", "least to most"],
    ),
    "timestep repeated": (
        lambda: LINEAR.subsample(timesteps=[3, 3]),
        ValueError,
        ["timesteps[1]", "3", "repeated"],
    ),
    "timestep ambiguous": (
        lambda: LINEAR.compose(LINEAR).subsample(timesteps=[3]),
        ValueError,
        ["timesteps[0]", "3", "several"],
    ),
    "section too small": (
        lambda: LINEAR.subsample(sections=[6, 2]),
        ValueError,
        ["sections[0]", "6", "5"],
    ),
    "section 0": (lambda: LINEAR.subsample(sections=[0, 2]), ValueError, ["sections[0]", "0"]),
    "section < 0": (lambda: LINEAR.subsample(sections="5,-1"), ValueError, ["sections[1]", "-1"]),
    "no section": (lambda: LINEAR.subsample(sections=[]), ValueError, ["sections", "empty"]),
    "sections empty text": (lambda: LINEAR.subsample(sections=""), ValueError, ["sections", "''"]),
    "sections text": (lambda: LINEAR.subsample(sections="5,x"), ValueError, ["sections", "5,x"]),
    "sections float": (
        lambda: LINEAR.subsample(sections=[2.5]),
        TypeError,
        ["sections[0]", "2.5"],
    ),
    "ddim7": (lambda: LINEAR.subsample(sections="ddim7"), ValueError, ["'ddim7'", "stride", "10"]),
    "ddim text": (lambda: LINEAR.subsample(sections="ddim"), ValueError, ["'ddim'"]),
    "ddim0": (lambda: LINEAR.subsample(sections="ddim0"), ValueError, ["'ddim0'"]),
    "a set": (lambda: LINEAR.subsample(indices={1}), TypeError, ["indices", "set"]),
    "mixed with bools": (lambda: LINEAR[[True, 2]], TypeError, ["index", "not both"]),
    "large index": (lambda: LINEAR[[2**63]], ValueError, ["index[0]", "9223372036854775808"]),
    "no room between points": (
        lambda: Schedule.from_betas([0.9] * 10 + [1e-28] * 10)[10:].subsample(
            steps=5000, spacing="karras"
        ),
        ValueError,
        ["5000", "float64"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
