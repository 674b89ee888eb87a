"""A plan as a printed table."""

from typing import Any

import numpy as np

from schedalg import DDIM, DDPM, Heun, Plan, Schedule, UniPC, run
from tests.registry.samplers import SAMPLERS

FAST = Schedule.linear(1000).subsample(steps=12)
X = np.random.default_rng(3).standard_normal((4, 2, 3))


def network(x: Any, timesteps: Any) -> Any:
    return 0.5 * x - 0.1 * x**3 / (1 + x**2)


def test_a_table_has_its_columns() -> None:
    lines = str(UniPC(order=2).plan(FAST)).splitlines()
    assert lines[0] == "plan of 12 model calls in 12 steps, start: x"
    titles = "row step timestep alpha sigma a b0 b1 b2 c"
    assert " ".join(lines[1].split()) == titles
    assert len({len(line) for line in lines[1:]}) == 1
    titles = "row step timestep alpha sigma c_in c_x c_out a b0 b1 b2 c"
    assert " ".join(UniPC(order=2).plan(FAST).table("v").splitlines()[1].split()) == titles
    titles = "row step timestep alpha sigma p q a b0 b1 c"
    assert " ".join(str(Heun().plan(FAST)).splitlines()[1].split()) == titles
    assert "23 model calls in 12 steps" in repr(Heun().plan(FAST))


def test_a_long_table_is_printed_without_its_middle() -> None:
    lines = str(DDIM().plan(Schedule.linear(1000))).splitlines()
    assert len(lines) == 2 + 10 + 1 + 10
    assert lines[12] == "… 980 rows …"
    assert [line.split()[0] for line in lines[11:14:2]] == ["9", "990"]


def test_a_plan_without_rows_is_printed_and_loaded() -> None:
    for entry in SAMPLERS.values():
        plan = entry.sampler.plan(FAST[:0])
        assert len(str(plan).splitlines()) == 2
        assert Plan.from_dict(plan.to_dict()) == plan
        assert run(plan, network, X) is X
    plan = DDPM("learned").plan(FAST[:0])
    assert Plan.from_dict(plan.to_dict()) == plan
