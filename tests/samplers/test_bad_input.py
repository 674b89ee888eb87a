"""Bad input to samplers is named."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    DEIS,
    IPNDM,
    LCM,
    LMS,
    TCD,
    DPMSolver,
    DPMSolverPP,
    Euler,
    EulerAncestral,
    FlowCPS,
    FlowSDE,
    Heun,
    RePaint,
    Restart,
    RungeKutta,
    SASolver,
    Schedule,
    Tableau,
    UniPC,
    sample,
)
from tests.bad_input import LINEAR, PLAN, TWO, Planned, X, check_named, network, run

IMAGE = np.ones((2, 3, 4))

#: A call, the error that it raises, and words that the message must contain.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "variance": (
        lambda: DDPM("large"),
        ValueError,
        ["variance", "'large'", "'fixed_small'", "'learned_range'"],
    ),
    "too many times": (lambda: RePaint(2, times=10**6), ValueError, ["times", "1000000"]),
    "restarts of a learned variance": (
        lambda: Restart(DDPM("learned"), [(2, 5, 1)]).plan(LINEAR),
        ValueError,
        ["learned variance", "restart"],
    ),
    "order 4": (lambda: DPMSolverPP(order=4), ValueError, ["order", "1, 2, 3", "4"]),
    "order 0": (lambda: UniPC(order=0), ValueError, ["order", "1, 2, 3", "0"]),
    "order 5": (lambda: LMS(order=5), ValueError, ["order", "1, 2, 3, 4", "5"]),
    "order 2.5": (lambda: DEIS(order=2.5), TypeError, ["order", "integer", "2.5"]),
    "order True": (lambda: DPMSolver(order=True), TypeError, ["order", "True"]),
    "order text": (lambda: IPNDM(order="4"), TypeError, ["order", "'4'"]),
    "2S of order 3": (lambda: DPMSolverPP(order=3, singlestep=True), ValueError, ["order=3", "2S"]),
    "2S with noise": (lambda: DPMSolverPP(singlestep=True, eta=1.0), ValueError, ["eta=1.0", "2S"]),
    "exact 2M": (lambda: DPMSolverPP(2, exact=True), ValueError, ["exact", "order=3", "order=2"]),
    "full start of 2M": (
        lambda: DPMSolverPP(full_start=True),
        ValueError,
        ["full_start", "order=3", "order=2"],
    ),
    **{
        f"{name} of {kind.__name__}": (
            partial(kind, **{name: "no"}),
            TypeError,
            [name, "'no'"],
        )
        for kind, name in (
            (LMS, "full_start"),
            (DEIS, "full_start"),
            (DEIS, "lower_order_final"),
            (DPMSolver, "lower_order_final"),
            (DPMSolverPP, "exact"),
            (UniPC, "correct_from_noise"),
            (UniPC, "full_start"),
        )
    },
    "clean stages": (
        lambda: Heun(clean_stages="no"),
        TypeError,
        ["clean_stages", "'no'"],
    ),
    "corrector order": (
        lambda: SASolver(corrector_order=5),
        ValueError,
        ["corrector_order", "1, 2, 3, 4", "5"],
    ),
    **{
        f"too short for {type(sampler).__name__}": (
            partial(run, schedule=TWO, sampler=sampler),
            ValueError,
            ["order=3", type(sampler).__name__, "at least 3 steps", "has 2"],
        )
        for sampler in (
            DPMSolver(order=3),
            DPMSolverPP(order=3),
            UniPC(order=3),
            LMS(order=3),
            DEIS(order=3),
            IPNDM(order=3),
            SASolver(order=3),
        )
    },
    "too short from noise": (
        lambda: DPMSolverPP(order=2).plan(LINEAR[4:5]),
        ValueError,
        ["order=2", "at least 2 steps", "has 1"],
    ),
    "eta > 1": (lambda: EulerAncestral(eta=1.5), ValueError, ["eta", "1.5", "[0, 1]"]),
    "eta < 0": (lambda: DPMSolverPP(eta=-0.1), ValueError, ["eta", "-0.1", "[0, 1]"]),
    "eta NaN": (lambda: Heun(eta=np.nan), ValueError, ["eta", "nan"]),
    "churn < 0": (lambda: Heun(s_churn=-1), ValueError, ["s_churn", "-1"]),
    "churn inf": (lambda: Euler(s_churn=np.inf), ValueError, ["s_churn", "inf"]),
    "both noises": (lambda: Heun(eta=0.5, s_churn=1.0), ValueError, ["eta", "s_churn", "one"]),
    "tau": (lambda: SASolver(tau=-1.0), ValueError, ["tau", "-1.0"]),
    "noise level": (lambda: FlowSDE(-0.1), ValueError, ["noise_level", "-0.1", "0 and 1000"]),
    "noise level text": (lambda: FlowSDE("no"), TypeError, ["noise_level", "'no'"]),
    "eta of CPS": (lambda: FlowCPS(1.1), ValueError, ["eta", "1.1", "[0, 1]"]),
    "gamma": (lambda: TCD(gamma=1.2), ValueError, ["gamma", "1.2", "[0, 1]"]),
    "trained": (lambda: TCD(trained=[1]), TypeError, ["trained", "list"]),
    "trained without": (
        lambda: TCD(trained=LINEAR[[0, 5]]).plan(LINEAR),
        ValueError,
        ["timestep", "trained schedule"],
    ),
    "scaling": (lambda: LCM(timestep_scaling=0.0), ValueError, ["timestep_scaling", "0.0"]),
    "large scaling": (
        lambda: LCM(timestep_scaling=1e160),
        ValueError,
        ["timestep_scaling", "1e+160", "1e60"],
    ),
    "small data": (lambda: LCM(sigma_data=1e-320), ValueError, ["sigma_data", "1e-60"]),
    "variant": (lambda: UniPC(variant="bh3"), ValueError, ["variant", "'bh3'", "'bh1'"]),
    "tableau": (lambda: RungeKutta("heun"), TypeError, ["tableau", "str"]),
    "implicit": (
        lambda: Tableau([[0.5], [0.5, 0.5]], [0.5, 0.5], 2),
        ValueError,
        ["A", "[1, 2]", "2 weights"],
    ),
    "weights": (lambda: Tableau([[]], [0.9], 1), ValueError, ["b", "sum to 1", "0.9"]),
    "stage outside": (
        lambda: Tableau([[], [1.5]], [0.5, 0.5], 2),
        ValueError,
        ["A[1]", "1.5", "[0, 1]"],
    ),
    "stretch": (lambda: Restart(Heun(), [(3, 2, 1)]), ValueError, ["stretches[0]", "(3, 2, 1)"]),
    "stretches overlap": (
        lambda: Restart(Heun(), [(0, 4, 1), (3, 6, 1)]),
        ValueError,
        ["(0, 4, 1)", "(3, 6, 1)", "overlap"],
    ),
    "stretch too high": (
        lambda: Restart(Heun(), [(3, 10, 1)]).plan(LINEAR),
        ValueError,
        ["(3, 10, 1)", "10 points"],
    ),
    "restart of a function": (lambda: Restart(network, []), TypeError, ["sampler", "plan method"]),
    "jump 0": (lambda: RePaint(jump_length=0), ValueError, ["jump_length", "0"]),
    "variance does not split": (
        lambda: run(sampler=DDPM("learned_range"), x=IMAGE),
        ValueError,
        ["learned variance", "twice the channels", "(2, 3, 4)"],
    ),
    "channels": (
        lambda: run(model=lambda x, t: np.concatenate([x, x[:, :2]], axis=1), x=IMAGE),
        ValueError,
        ["model output", "(2, 3, 4)", "(2, 5, 4)"],
    ),
    "singlestep": (lambda: DPMSolverPP(singlestep="no"), TypeError, ["singlestep", "'no'"]),
    "corrector": (lambda: UniPC(corrector=1), TypeError, ["corrector", "1"]),
    "corrector order False": (
        lambda: SASolver(corrector_order=False),
        TypeError,
        ["corrector_order", "False"],
    ),
    "tau huge": (lambda: SASolver(tau=1e200), ValueError, ["tau", "1000"]),
    "tmin > tmax": (lambda: Heun(s_tmin=2.0, s_tmax=1.0), ValueError, ["s_tmax", "2.0", "1.0"]),
    "tableau order": (lambda: Tableau([[]], [1.0], 0), ValueError, ["order", "0"]),
    "tableau of None": (lambda: Tableau(None, [1.0], 1), TypeError, ["A", "NoneType"]),
    "tableau row": (lambda: Tableau([None], [1.0], 1), TypeError, ["A[0]", "NoneType"]),
    "stretches": (lambda: Restart(Heun(), 5), TypeError, ["stretches", "int"]),
    "stretch of two": (lambda: Restart(Heun(), [(1, 2)]), TypeError, ["stretches[0]", "(1, 2)"]),
    "times": (lambda: RePaint(2, 10**30), ValueError, ["times", "10000"]),
    "class to restart": (lambda: Restart(Heun, [(0, 1, 1)]), TypeError, ["sampler", "Heun"]),
    "nothing to paint with": (lambda: RePaint(sampler=None), TypeError, ["sampler", "None"]),
    "restart of another plan": (
        lambda: Restart(Planned(PLAN), [(0, 3, 1)]).plan(LINEAR),
        ValueError,
        ["another schedule"],
    ),
    "trained a class": (lambda: TCD(trained=Schedule), TypeError, ["trained"]),
    "trained too noisy": (
        lambda: TCD(trained=LINEAR).plan(LINEAR.shift(0.1)),
        ValueError,
        ["log SNR", "trained schedule", "must be more"],
    ),
    "plan of None": (lambda: DDIM().plan(None), TypeError, ["schedule", "NoneType"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])


def test_eta_of_numpy_keeps_the_sample_s_dtype() -> None:
    image = sample(network, LINEAR, DDIM(np.float64(0.5)), X.astype(np.float32), noise=0)
    assert image.dtype == np.float32
    assert type(DDIM(np.float64(0.5)).eta) is float


def test_numbers_of_numpy_keep_the_sample_s_dtype() -> None:
    one = np.float64(1.0)
    for sampler in (
        Heun(s_churn=one, s_tmax=one),
        DPMSolverPP(order=np.int64(2), eta=one),
        SASolver(tau=one),
        TCD(gamma=one / 2),
    ):
        image = sample(network, LINEAR, sampler, X.astype(np.float32), noise=0)
        assert image.dtype == np.float32
