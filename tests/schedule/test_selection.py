"""Points that are named by index, mask or timestep."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedalg import Schedule
from tests.bad_input import LINEAR, check_named

BASE = Schedule.linear(1000)


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


@given(st.integers(1, 300), st.data())
def test_indices_and_masks_agree(n: int, data: st.DataObject) -> None:
    base = Schedule.linear(n)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    assert base[mask] == base[mask.tolist()] == base[np.flatnonzero(mask)]
    if mask.any():
        assert base.subsample(indices=mask) == base[mask]


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
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
    "a set": (lambda: LINEAR.subsample(indices={1}), TypeError, ["indices", "set"]),
    "mixed with bools": (lambda: LINEAR[[True, 2]], TypeError, ["index", "not both"]),
    "large index": (lambda: LINEAR[[2**63]], ValueError, ["index[0]", "9223372036854775808"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
