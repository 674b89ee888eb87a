"""Points of each of several parts, as guided-diffusion chooses them."""

from collections.abc import Callable
from typing import Any

import pytest

from schedalg import Schedule
from schedalg.schedule.sections import sections_of
from tests.bad_input import LINEAR, check_named

BASE = Schedule.linear(1000)


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


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
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
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
