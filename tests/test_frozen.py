from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from schedalg import Midpoint, Schedule

BASE = Schedule.linear(20)
VALUES = [BASE, BASE.subsample(steps=3), Midpoint().plan(BASE), BASE[3], BASE.origin]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", ["alpha", "timesteps", "curve", "another"])
def test_attributes_can_be_neither_assigned_nor_deleted(value: Any, name: str) -> None:
    with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
        setattr(value, name, 1)
    with pytest.raises(FrozenInstanceError, match=f"cannot delete field '{name}'"):
        delattr(value, name)
