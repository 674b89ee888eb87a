"""Hypothesis strategies for schedules and subsets (`pip install 'schedalg[testing]'`)."""

from contextlib import suppress

import numpy as np
from hypothesis import strategies as st

from schedalg.schedule import Schedule
from schedalg.testing.cases import FAMILIES, TRANSFORMS


@st.composite
def random_betas(draw: st.DrawFn, zero_signal: bool = True) -> Schedule:
    """Draw a schedule of betas from 1e-12 to nearly 1, perhaps ending in zero signal."""
    exponents = draw(st.lists(st.floats(-12, -1e-6), min_size=1, max_size=40))
    betas = [10.0**exponent for exponent in exponents]
    if zero_signal and draw(st.booleans()):
        betas[-1] = 1.0
    return Schedule.from_betas(betas)


@st.composite
def joinable(draw: st.DrawFn) -> Schedule:
    """Draw a schedule for `compose`: it starts at clean data, and does not end in pure noise."""
    families = ["linear", "cosine", "laplace", "from_betas tiny", "from_log_snr"]
    base = draw(
        st.one_of(
            random_betas(zero_signal=False),
            st.builds(
                lambda name, n: FAMILIES[name](n),
                st.sampled_from(families),
                st.integers(1, 40),
            ),
        )
    )
    chosen = base[draw(subsets(len(base)))]
    if draw(st.booleans()) and len(chosen) > 1:
        with suppress(ValueError):  # noise levels that are equal in float64
            chosen = chosen.refine(3)[: -draw(st.integers(1, 2))]  # between points of the base
    return chosen


@st.composite
def registered(draw: st.DrawFn) -> Schedule:
    """Draw a family of `cases` with one of its transforms."""
    base = FAMILIES[draw(st.sampled_from(sorted(FAMILIES)))](draw(st.integers(1, 40)))
    apply, suits = TRANSFORMS[draw(st.sampled_from(sorted(TRANSFORMS)))]
    return apply(base) if suits(base) else base


def schedules() -> st.SearchStrategy[Schedule]:
    """Draw any schedule."""
    return st.one_of(random_betas(), registered())


@st.composite
def respaced(draw: st.DrawFn) -> Schedule:
    """Draw a schedule after up to four changes in a row: choices, slices, spacings, shifts, ...."""
    schedule = draw(schedules())
    for change in draw(st.lists(st.sampled_from(_CHANGES), max_size=4)):
        n = len(schedule)
        start, stop = sorted(draw(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))))
        if change == "choose":
            schedule = schedule[draw(subsets(n))]
        elif change == "slice":
            schedule = schedule[start : stop + 1]
        elif change == "shift":
            schedule = schedule.shift(draw(st.floats(0.2, 5)))
        else:
            try:
                if change == "refine":
                    schedule = schedule.refine(draw(st.integers(2, 3)))
                else:
                    listed = isinstance(schedule.timestep_rule, np.ndarray)
                    schedule = schedule.subsample(
                        steps=draw(st.integers(2, 9)),
                        spacing=draw(st.sampled_from(["log_snr", "karras"])),
                        rounded=listed and draw(st.booleans()),
                    )
            except ValueError:  # pure noise, one point, or noise levels that are equal in float64
                continue
    return schedule


_CHANGES = ("choose", "slice", "shift", "refine", "spacing")


def vp_schedules() -> st.SearchStrategy[Schedule]:
    """Draw a schedule that preserves variance."""
    return schedules().map(lambda s: s.as_vp())


@st.composite
def subsets(draw: st.DrawFn, n: int, min_size: int = 1) -> np.ndarray:
    """Draw a rising array of indices into n points."""
    selected = draw(st.sets(st.integers(0, n - 1), min_size=min(min_size, n)))
    return np.array(sorted(selected), dtype=np.int64)
