"""`fit`: it finds what a teacher does, keeps the laws of a plan, and makes nothing worse."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedalg import (
    DDIM,
    LMS,
    Denoiser,
    DPMSolverPP,
    Heun,
    Plan,
    Schedule,
    Trajectories,
    UniPC,
    fit,
    run,
    sample_steps,
    trajectories,
)
from tests.bad_input import check_named
from tests.fitting.mixture import BASE, network, two_peaks
from tests.libraries import Library, lib
from tests.registry.samplers import SAMPLERS

__all__ = ["lib"]

FEW = BASE[[199, 399, 599, 799, 999]]
TEN = BASE[[*range(99, 1000, 100)]]
MANY = BASE[[*range(4, 1000, 5)]]
FIFTY = BASE[[*range(19, 1000, 20)]]
START = np.random.default_rng(0).standard_normal((24, 6))
STARTS = {
    name: entry.sampler
    for name, entry in SAMPLERS.items()
    if name
    in (
        "DDIM", "Euler", "DPM-Solver++ 2M", "DPM-Solver++ 3M", "DPM-Solver++ 2S", "UniPC-2",
        "UniP-3", "LMS 2", "DEIS 3", "IPNDM 3", "SA-Solver ODE",
    )
}  # fmt: skip


def wavy(x: Any, timesteps: Any) -> Any:
    """A network that is far from linear, in plain arithmetic."""
    return 0.8 * x / (1 + x * x) + 0.1 * x


@pytest.mark.parametrize("kind", ["vp", "ve", "flow"])
@pytest.mark.parametrize("prediction", ["x0", "epsilon"])
@pytest.mark.parametrize(
    ("start", "teacher"),
    [
        (DDIM(), DPMSolverPP(order=2)),
        (DDIM(), DPMSolverPP(order=3)),
        (LMS(order=1), LMS(order=2)),
        (DPMSolverPP(order=2), DPMSolverPP(order=2)),
    ],
)
def test_what_the_teacher_does_is_found(
    kind: str, prediction: str, start: Any, teacher: Any
) -> None:
    s = Schedule.from_log_snr([3.0, 1.5, 0.0, -1.5, -3.0], kind=kind)
    made = trajectories(wavy, s, s.prior_std * START, teacher.plan(s), prediction=prediction)
    wanted = teacher.plan(s)
    fitted = fit(start.plan(s), made, memories=wanted.b.shape[1])
    np.testing.assert_allclose(fitted.a, wanted.a, rtol=0, atol=1e-8 * abs(wanted.a).max())
    np.testing.assert_allclose(fitted.b, wanted.b, rtol=0, atol=1e-8 * abs(wanted.b).max())


@pytest.mark.parametrize("name", STARTS)
def test_a_fitted_plan_does_the_same_to_a_point(name: str) -> None:
    plan = STARTS[name].plan(FEW)
    made = trajectories(network, FEW, START, DPMSolverPP().plan(FIFTY), prediction="x0")
    fitted = fit(plan, made)
    assert fitted != plan
    for each in (plan, fitted):
        x, predictions, _ = each.weights()
        np.testing.assert_allclose(predictions.sum(), 1 - x * FEW[-1].alpha, rtol=0, atol=1e-11)
    point = np.linspace(-2, 2, 6) + 0 * START
    result = run(fitted, lambda x, t: point, START, prediction="x0")
    np.testing.assert_allclose(result, point, rtol=0, atol=1e-11)


@settings(deadline=None, max_examples=30)
@given(
    name=st.sampled_from(sorted(STARTS)),
    seed=st.integers(0, 1000),
    samples=st.integers(2, 9),
    extra=st.integers(0, 2),
)
def test_no_plan_is_worse_on_samples_that_are_held_out(
    name: str, seed: int, samples: int, extra: int
) -> None:
    plan = STARTS[name].plan(FEW)
    x = np.random.default_rng(seed).standard_normal((samples, 5))
    made = trajectories(network, FEW, x, DPMSolverPP().plan(TEN), prediction="x0")
    fitted = fit(plan, made, memories=min(plan.b.shape[1] + extra, 5))
    held = slice(samples - max(samples // 4, 1), None)
    before, after = (
        np.mean((run(each, network, x, prediction="x0") - made.states[-1])[held] ** 2)
        for each in (plan, fitted)
    )
    assert after <= before


def test_a_row_that_is_worse_on_held_out_samples_stays() -> None:
    plan = DDIM().plan(FEW)
    made = trajectories(network, FEW, START, DPMSolverPP().plan(FIFTY), prediction="x0")
    own = next(sample_steps(network, FEW, DDIM(), START, prediction="x0"))
    # After row 0, the held-out samples are where the plan takes them, and the others are not.
    first = np.concatenate([0.5 * own[:18], own[18:]])
    states = (made.states[0], first, *made.states[2:])
    fitted = fit(plan, Trajectories(FEW, states, made.denoise), memories=2)
    assert (fitted.a[0], *fitted.b[0]) == (plan.a[0], *plan.b[0], 0.0)
    assert (fitted.a[1:-1] != plan.a[1:-1]).all()


def test_five_steps_come_close_to_the_flow() -> None:
    x = np.random.default_rng(1).standard_normal((32, 16))
    made = trajectories(network, FEW, x, DPMSolverPP().plan(MANY), prediction="x0")
    new = np.random.default_rng(2).standard_normal((64, 16))
    exact = two_peaks.flow(new, FEW[-1], FEW.origin)

    def error(plan: Plan) -> float:
        return float(np.sqrt(np.mean((run(plan, network, new, prediction="x0") - exact) ** 2)))

    fitted = fit(DPMSolverPP(order=2).plan(FEW), made, memories=3)
    assert error(fitted) < error(DPMSolverPP(order=2).plan(FEW)) / 3
    assert error(fit(DDIM().plan(FEW), made, memories=3)) < error(DDIM().plan(FEW)) / 3


@pytest.mark.parametrize("memories", [2, 3, 4])
def test_what_samples_do_not_tell_stays(memories: int) -> None:
    """The network of Gaussian data is linear, and samples tell one number a row: it is exact."""

    def linear(x: Any, timesteps: Any) -> Any:
        return (0.5 + timesteps[0] / 4000) * x

    plan, exact = DPMSolverPP(order=2).plan(FEW), 1e-12
    made = trajectories(linear, FEW, START, DPMSolverPP().plan(FIFTY), prediction="x0")
    fitted = fit(plan, made, memories=memories)
    before, after = (
        np.abs(run(each, linear, START, prediction="x0") - made.states[-1]).max()
        for each in (plan, fitted)
    )
    assert before > 1e-3
    assert after < exact
    # x is size times x_T, and signal times the data where these are a point; so are predictions.
    size, signal = 1.0, float(FEW[-1].alpha)
    sizes: list[float] = []
    for k in range(len(plan) - 1):
        sizes = [(0.5 + plan.timesteps[k] / 4000) * size, *sizes][:memories]
        all_sizes, count = np.array([size, *sizes]), len(sizes)
        signals = np.array([signal, *np.ones(count)])
        row = np.array([fitted.a[k], *fitted.b[k, :count]])
        began = np.zeros(1 + count)
        began[: 1 + min(count, 2)] = [plan.a[k], *plan.b[k, :count]]
        # Both x and the signal of a point are told; nothing moves across these, each in its size.
        told = np.linalg.svd(np.stack([np.ones(1 + count), signals / all_sizes]))[2]
        assert np.abs(told[2:] @ ((row - began) * all_sizes)).max(initial=0.0) < exact
        assert np.abs(told[:2] @ ((row - began) * all_sizes)).max() > 1e-6
        size, signal = row @ all_sizes, row @ signals


def test_the_same_is_found_in_every_library(lib: Library) -> None:
    teacher = DPMSolverPP(order=3).plan(TEN)
    plans = [
        fit(DDIM().plan(FEW), trajectories(wavy, FEW, x, teacher), memories=2)
        for x in (START.astype(lib.widest), lib.array(START))
    ]
    np.testing.assert_allclose(
        plans[1].b, plans[0].b, rtol=0, atol=1e-8 if lib.widest == "float64" else 2e-2
    )
    assert lib.is_mine(run(plans[1], wavy, lib.array(START)))


def test_a_fitted_plan_is_a_value() -> None:
    made = trajectories(network, FEW, START, DPMSolverPP().plan(TEN), prediction="x0")
    fitted = fit(DDIM().plan(FEW), made, memories=3)
    assert Plan.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted
    assert fit(DDIM().plan(FEW), made, memories=3) == fitted


def test_a_schedule_of_no_points_has_nothing_to_fit() -> None:
    none = BASE[:0]
    made = Trajectories(none, (START,), Denoiser(wavy, none))
    assert fit(DDIM().plan(none), made) == DDIM().plan(none)


MADE = trajectories(wavy, FEW, START, DDIM().plan(FEW))


def nan_below(timestep: int) -> Callable[[Any, Any], Any]:
    return lambda x, timesteps: x * (np.nan if timesteps[0] < timestep else 1.0)


BAD: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "a sampler": (lambda: fit(DDIM(), MADE), TypeError, ["plan", "DDIM"]),
    "states alone": (lambda: fit(DDIM().plan(FEW), MADE.states), TypeError, ["trajectories"]),
    "another schedule": (
        lambda: fit(DDIM().plan(FEW[1:]), MADE),
        ValueError,
        ["trajectories", "another schedule", "log SNR"],
    ),
    "noise": (lambda: fit(DDIM(eta=1.0).plan(FEW), MADE), ValueError, ["plan", "noise"]),
    "stages": (lambda: fit(Heun().plan(FEW), MADE), ValueError, ["plan", "stages"]),
    "reversed": (lambda: fit(DDIM().plan(FEW).reversed(), MADE), ValueError, ["plan", "reversed"]),
    "fewer memories": (
        lambda: fit(UniPC(order=2).plan(FEW), MADE, memories=1),
        ValueError,
        ["memories", "got 1"],
    ),
    "more memories": (
        lambda: fit(DDIM().plan(FEW), MADE, memories=6),
        ValueError,
        ["memories", "from 1", "5", "got 6"],
    ),
    "no memories": (lambda: fit(DDIM().plan(FEW), MADE, memories=0), ValueError, ["memories"]),
    "too few samples": (
        lambda: fit(
            DDIM().plan(FEW),
            trajectories(wavy, FEW, START[:2, :1], DDIM().plan(FEW)),
            memories=3,
        ),
        ValueError,
        ["trajectories", "2 samples", "3 unknowns"],
    ),
    "one sample": (
        lambda: fit(DDIM().plan(FEW), trajectories(wavy, FEW, START[:1], DDIM().plan(FEW))),
        ValueError,
        ["trajectories", "1 samples"],
    ),
    "NaN on the way": (
        lambda: fit(
            DDIM().plan(FEW), Trajectories(FEW, MADE.states, Denoiser(nan_below(500), FEW))
        ),
        ValueError,
        ["timestep 399", "NaN"],
    ),
    "a teacher that is a sampler": (
        lambda: trajectories(wavy, FEW, START, DDIM()),
        TypeError,
        ["teacher", "Plan"],
    ),
    "a teacher with noise": (
        lambda: trajectories(wavy, FEW, START, DDIM(eta=1.0).plan(BASE)),
        ValueError,
        ["teacher", "noise"],
    ),
    "a teacher that leaves points out": (
        lambda: trajectories(wavy, FEW, START, DDIM().plan(BASE[[399, 799, 999]])),
        ValueError,
        ["teacher", "point 2", "log-SNR"],
    ),
    "a teacher that ends elsewhere": (
        lambda: trajectories(wavy, FEW, START, DDIM().plan(BASE[100:])),
        ValueError,
        ["teacher", "origin"],
    ),
    "a teacher that starts elsewhere": (
        lambda: trajectories(wavy, FEW[:4], START, DDIM().plan(BASE)),
        ValueError,
        ["teacher", "999", "799"],
    ),
    "a teacher of another kind": (
        lambda: trajectories(wavy, FEW, START, DDIM().plan(BASE.as_ve())),
        ValueError,
        ["teacher", "ve", "vp"],
    ),
    "a teacher that is reversed": (
        lambda: trajectories(wavy, FEW, START, DDIM().plan(FEW).reversed()),
        ValueError,
        ["teacher", "4 steps", "5 points"],
    ),
    "states that are too few": (
        lambda: Trajectories(FEW, MADE.states[1:], MADE.denoise),
        ValueError,
        ["states", "6", "got 5"],
    ),
    "states that are no list": (
        lambda: Trajectories(FEW, START, MADE.denoise),
        TypeError,
        ["states"],
    ),
    "states of two shapes": (
        lambda: Trajectories(FEW, [*MADE.states[:-1], START[1:]], MADE.denoise),
        ValueError,
        ["states[5]", "shape"],
    ),
    "states with NaN": (
        lambda: Trajectories(FEW, [*MADE.states[:-1], START * np.nan], MADE.denoise),
        ValueError,
        ["states[5]", "NaN"],
    ),
    "a denoiser of another schedule": (
        lambda: Trajectories(FEW, MADE.states, Denoiser(wavy, BASE)),
        ValueError,
        ["denoise", "another schedule"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    check_named(*BAD[case])


def test_a_teacher_with_stages_arrives_at_the_points() -> None:
    made = trajectories(wavy, FEW, START, Heun().plan(TEN))
    wanted = sample_steps(wavy, TEN, Heun(), START)
    reached = [x for k, x in enumerate(wanted) if k in (1, 3, 5, 7, 9)]
    assert len(made.states) == 6
    for state, x in zip(made.states[1:], reached, strict=True):
        assert (state == x).all()
