import copy
from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import pytest

from schedalg import Midpoint, Plan, Schedule
from schedalg.frozen import fixed

BASE = Schedule.linear(20)
VALUES = [BASE, BASE.subsample(steps=3), Midpoint().plan(BASE), BASE[3], BASE.origin]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", ["alpha", "timesteps", "curve", "another"])
def test_attributes_can_be_neither_assigned_nor_deleted(value: Any, name: str) -> None:
    with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
        setattr(value, name, 1)
    with pytest.raises(FrozenInstanceError, match=f"cannot delete field '{name}'"):
        delattr(value, name)


def arrays(value: Schedule | Plan) -> list[np.ndarray]:
    given = [getattr(value, field.name) for field in fields(value) if field.init]
    nested = [part for each in given for part in (each if isinstance(each, tuple) else [each])]
    return [part for part in nested if isinstance(part, np.ndarray)]


@pytest.mark.parametrize(
    "value",
    [BASE, BASE.subsample(steps=3), BASE[2:5], BASE.shift(2.0), Midpoint().plan(BASE)],
    ids=repr,
)
def test_memory_of_values_cannot_be_made_writable(value: Schedule | Plan) -> None:
    for same in (value, copy.deepcopy(value), type(value).from_dict(value.to_dict())):
        assert len(arrays(same)) >= 3
        for array in arrays(same):
            with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
                array.setflags(write=True)


def test_fixed_memory_is_not_copied_again() -> None:
    array = np.arange(6.0).reshape(2, 3)
    held = fixed(array)
    array[0] = 7
    assert held.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert fixed(held) is held
    part = held[1, ::-1]
    assert fixed(part) is part
    assert fixed(np.zeros((0, 3))).shape == (0, 3)
