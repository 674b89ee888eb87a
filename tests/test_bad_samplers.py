"""Bad input to samplers, plans, parameterizations and guidance is named, as in test_bad_input."""

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
    ClassifierFreeGuidance,
    Denoiser,
    DPMSolver,
    DPMSolverPP,
    DynamicThreshold,
    Euler,
    EulerAncestral,
    Evaluations,
    Heun,
    Parameterization,
    Plan,
    RePaint,
    Restart,
    RungeKutta,
    SASolver,
    Schedule,
    Tableau,
    UniPC,
    classifier_guidance,
    convert,
    edm,
    inpaint,
    sample,
    switch,
)
from schedalg.testing import Mixture
from tests.test_bad_input import LINEAR, ZERO_SNR, X, check_named, network, run

PLAN = DDIM().plan(LINEAR)
TWO = LINEAR[:2]
IMAGE = np.ones((2, 3, 4))


def plan_of(**columns: Any) -> Plan:
    return Plan.of(LINEAR, **{"a": np.ones(10), "b": np.ones(10), **columns})


def loaded(**changes: Any) -> Plan:
    return Plan.from_dict({**PLAN.to_dict(), **changes})


class Planned:
    """A sampler whose table is what it was given."""

    def __init__(self, plan: Any) -> None:
        self.result = plan

    def plan(self, schedule: Schedule) -> Any:
        return self.result


DENOISER = Denoiser(network, LINEAR)
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    # An order that there is not, or that the schedule is too short for
    "order 4": (lambda: DPMSolverPP(order=4), ValueError, ["order", "1, 2, 3", "4"]),
    "order 0": (lambda: UniPC(order=0), ValueError, ["order", "1, 2, 3", "0"]),
    "order 5": (lambda: LMS(order=5), ValueError, ["order", "1, 2, 3, 4", "5"]),
    "order 2.5": (lambda: DEIS(order=2.5), TypeError, ["order", "integer", "2.5"]),
    "order True": (lambda: DPMSolver(order=True), TypeError, ["order", "True"]),
    "order text": (lambda: IPNDM(order="4"), TypeError, ["order", "'4'"]),
    "2S of order 3": (lambda: DPMSolverPP(order=3, singlestep=True), ValueError, ["order=3", "2S"]),
    "2S with noise": (lambda: DPMSolverPP(singlestep=True, eta=1.0), ValueError, ["eta=1.0", "2S"]),
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
    # Numbers of samplers
    "eta > 1": (lambda: EulerAncestral(eta=1.5), ValueError, ["eta", "1.5", "[0, 1]"]),
    "eta < 0": (lambda: DPMSolverPP(eta=-0.1), ValueError, ["eta", "-0.1", "[0, 1]"]),
    "eta NaN": (lambda: Heun(eta=np.nan), ValueError, ["eta", "nan"]),
    "churn < 0": (lambda: Heun(s_churn=-1), ValueError, ["s_churn", "-1"]),
    "churn inf": (lambda: Euler(s_churn=np.inf), ValueError, ["s_churn", "inf"]),
    "both noises": (lambda: Heun(eta=0.5, s_churn=1.0), ValueError, ["eta", "s_churn", "one"]),
    "tau": (lambda: SASolver(tau=-1.0), ValueError, ["tau", "-1.0"]),
    "gamma": (lambda: TCD(gamma=1.2), ValueError, ["gamma", "1.2", "[0, 1]"]),
    "trained": (lambda: TCD(trained=[1]), TypeError, ["trained", "list"]),
    "trained without": (
        lambda: TCD(trained=LINEAR[[0, 5]]).plan(LINEAR),
        ValueError,
        ["timestep", "trained schedule"],
    ),
    "scaling": (lambda: LCM(timestep_scaling=0.0), ValueError, ["timestep_scaling", "0.0"]),
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
    "restart of no table": (lambda: Restart(network, []), TypeError, ["sampler", "table"]),
    "jump 0": (lambda: RePaint(jump_length=0), ValueError, ["jump_length", "0"]),
    # Plans
    "column short": (lambda: plan_of(a=np.ones(9)), ValueError, ["a", "(10,)", "(9,)"]),
    "b short": (lambda: plan_of(b=np.ones((9, 2))), ValueError, ["b", "(10, m)", "(9, 2)"]),
    "NaN in a plan": (
        lambda: plan_of(c=np.where(np.arange(10) == 3, np.nan, 1)),
        ValueError,
        ["c[3]", "nan", "finite"],
    ),
    "too early a memory": (
        lambda: plan_of(b=np.ones((10, 3))),
        ValueError,
        ["b[0]", "0 rows before"],
    ),
    "memory": (lambda: plan_of(memory="v"), ValueError, ["memory", "'v'"]),
    "steps fall": (lambda: plan_of(step=np.arange(10)[::-1]), ValueError, ["step", "rising"]),
    "clean level": (
        lambda: Plan.of(
            LINEAR,
            a=np.ones(1),
            b=np.ones(1),
            evaluations=Evaluations(np.zeros(1), np.ones(1), np.zeros(1)),
        ),
        ValueError,
        ["sigma[0]", "0.0"],
    ),
    "plan data": (lambda: Plan.from_dict([1]), TypeError, ["data", "list"]),
    "plan type": (lambda: loaded(type="x"), ValueError, ["type", "'x'"]),
    "plan version": (lambda: loaded(version=2), ValueError, ["version 2"]),
    "plan lacks": (
        lambda: Plan.from_dict({k: v for k, v in PLAN.to_dict().items() if k != "a"}),
        ValueError,
        ["lacks", "'a'"],
    ),
    "plan column": (lambda: loaded(a="text"), TypeError, ["a", "'text'"]),
    "plan number": (lambda: loaded(a=[*[1.0] * 9, "x"]), TypeError, ["a[9]", "'x'"]),
    "plan ragged": (lambda: loaded(b=[[1.0], [1.0, 2.0]]), ValueError, ["b", "table"]),
    "plan rows": (lambda: loaded(c_x=[1.0]), ValueError, ["c_x", "10 rows"]),
    "plan start": (lambda: loaded(start=[1.0]), ValueError, ["start", "(1.0,)"]),
    "reversed": (lambda: DDPM().plan(LINEAR).reversed(), ValueError, ["without noise"]),
    # A plan on another schedule's points
    "another schedule's plan": (
        lambda: run(sampler=Planned(DDIM().plan(LINEAR[:5]))),
        ValueError,
        ["another schedule", "5 points", "10 points"],
    ),
    "another schedule's denoiser": (
        lambda: PLAN.run(Denoiser(network, LINEAR[:5]), X),
        ValueError,
        ["another schedule", "5 points", "10 points"],
    ),
    "no plan": (lambda: run(sampler=Planned(None)), TypeError, ["sampler.plan", "NoneType"]),
    "run of no array": (lambda: PLAN.run(network, [1.0]), TypeError, ["x", "list"]),
    "run with prediction": (
        lambda: PLAN.run(network, X, prediction="noise"),
        ValueError,
        ["prediction", "'noise'", "'epsilon'", "'score'", "'edm'"],
    ),
    "denoiser and clip": (
        lambda: run(model=DENOISER, clip=(-1, 1)),
        ValueError,
        ["clip", "Denoiser"],
    ),
    "noise of another shape": (
        lambda: run(sampler=DDPM(), noise=lambda x: x[:1]),
        ValueError,
        ["noise", "(2, 3)", "(1, 3)"],
    ),
    "noise of another dtype": (
        lambda: run(sampler=EulerAncestral(), noise=lambda x: x.astype(np.float32)),
        ValueError,
        ["noise", "float64", "float32"],
    ),
    # Learned variance
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
    "learned has no step": (
        lambda: DDPM("learned").step(X, LINEAR[1], LINEAR[0], DENOISER, np.zeros_like, None),
        ValueError,
        ["variance='learned'", "plan"],
    ),
    # Parameterizations
    "epsilon at zero SNR": (
        lambda: run(schedule=ZERO_SNR, sampler=Heun()),
        ValueError,
        ["prediction='epsilon'", "zero SNR", "timestep 9"],
    ),
    "score at zero SNR": (
        lambda: run(schedule=ZERO_SNR, sampler=UniPC(), prediction="score"),
        ValueError,
        ["prediction='score'", "zero SNR"],
    ),
    "no function": (lambda: Parameterization(1.0, network), TypeError, ["c_x", "float"]),
    "sigma_data": (lambda: edm(0.0), ValueError, ["sigma_data", "0.0"]),
    "convert shapes": (
        lambda: convert(X, X[:1], LINEAR[3], "v", "x0"),
        ValueError,
        ["output", "(1, 3)", "(2, 3)"],
    ),
    "convert to what": (
        lambda: convert(X, X, LINEAR[3], "v", "noise"),
        ValueError,
        ["'noise'", "'epsilon'"],
    ),
    "clip text": (lambda: run(clip="left"), TypeError, ["clip", "'left'"]),
    "clip returns": (
        lambda: run(clip=lambda x0: x0[:1]),
        ValueError,
        ["x0 returned by clip", "(2, 3)", "(1, 3)"],
    ),
    "quantile": (lambda: DynamicThreshold(1.5), ValueError, ["quantile", "1.5"]),
    "max_value": (lambda: DynamicThreshold(0.9, 0.5), ValueError, ["max_value", "0.5"]),
    # Guidance
    "keywords": (
        lambda: ClassifierFreeGuidance(network, 2.0, {"y": 1}, {"z": 1}),
        ValueError,
        ["cond", "uncond", "['y']", "['z']"],
    ),
    "scale NaN": (
        lambda: ClassifierFreeGuidance(network, np.nan, {}, {}),
        ValueError,
        ["scale", "nan"],
    ),
    "timestep_rule": (
        lambda: run(model=ClassifierFreeGuidance(network, 2.0, {"y": X[:1]}, {"y": X[:1]})),
        ValueError,
        ["y", "2 entries", "(1, 3)"],
    ),
    "gradient": (lambda: classifier_guidance(DENOISER, 1.0), TypeError, ["gradient", "float"]),
    "gradient's shape": (
        lambda: run(model=classifier_guidance(DENOISER, lambda x, t: x[:1])),
        ValueError,
        ["gradient", "(2, 3)", "(1, 3)"],
    ),
    "shift": (
        lambda: classifier_guidance(DENOISER, network, shift="noise"),
        ValueError,
        ["shift", "'noise'", "'score'"],
    ),
    "guided model": (lambda: classifier_guidance(network, network), TypeError, ["denoiser"]),
    "interval": (lambda: switch(DENOISER, DENOISER, 2.0, 1.0), ValueError, ["2.0", "1.0"]),
    "two schedules": (
        lambda: switch(DENOISER, Denoiser(network, TWO)),
        ValueError,
        ["one schedule", "2 points"],
    ),
    "mask": (lambda: inpaint(DENOISER, X, "left"), TypeError, ["mask", "str"]),
    "mask's shape": (
        lambda: run(model=inpaint(DENOISER, np.ones((5, 2, 3)), np.ones(3))),
        ValueError,
        ["known", "(2, 3)"],
    ),
    # Flags, tables and containers that are none
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
    "plan for None": (lambda: Plan.of(None, a=X, b=X), TypeError, ["schedule", "NoneType"]),
    "words in a plan": (lambda: plan_of(a=["1"] * 10), TypeError, ["a", "real numbers"]),
    "complex in a plan": (lambda: plan_of(a=np.ones(10) * 1j), TypeError, ["a", "complex"]),
    "b without columns": (lambda: plan_of(b=np.ones((10, 0))), ValueError, ["b", "(10, m)"]),
    "b with three axes": (lambda: plan_of(b=np.ones((10, 1, 1))), ValueError, ["b", "(10, 1, 1)"]),
    "half steps": (lambda: plan_of(step=np.arange(10) / 2), TypeError, ["step", "float64"]),
    "start": (lambda: plan_of(start=None), TypeError, ["start", "None"]),
    "start NaN": (lambda: plan_of(start=(np.nan, 0.0)), ValueError, ["start[0]", "nan"]),
    "evaluations": (lambda: plan_of(evaluations=(1, 2, 3)), TypeError, ["evaluations", "tuple"]),
    "evaluations NaN": (
        lambda: plan_of(evaluations=Evaluations(np.full(10, np.nan), np.ones(10), np.ones(10))),
        ValueError,
        ["evaluations.timesteps[0]", "nan"],
    ),
    "alpha < 0": (
        lambda: plan_of(evaluations=Evaluations(np.ones(10), -np.ones(10), np.ones(10))),
        ValueError,
        ["alpha[0]", "-1.0"],
    ),
    "plan step NaN": (lambda: loaded(step=["nan"] * 10), TypeError, ["step", "integers"]),
    "plan c_in NaN": (lambda: loaded(c_in=["nan"] * 10), ValueError, ["c_in[0]", "nan"]),
    "plan bytes": (lambda: loaded(a=b"1234567890"), TypeError, ["a", "list"]),
    "plan version True": (lambda: loaded(version=True), ValueError, ["version True"]),
    "no point": (lambda: DENOISER(X, 3), TypeError, ["t", "Point", "int"]),
    "convert at no point": (lambda: convert(X, X, 3, "v", "x0"), TypeError, ["point", "int"]),
    "column None": (
        lambda: run(prediction=Parameterization(lambda a, s: None, lambda a, s: 1.0)),
        TypeError,
        ["parameterization", "number"],
    ),
    "column too short": (
        lambda: run(prediction=Parameterization(lambda a, s: X[0], lambda a, s: 1.0)),
        TypeError,
        ["c_x", "number", "10"],
    ),
    "column NaN": (
        lambda: run(prediction=Parameterization(lambda a, s: np.nan, lambda a, s: 1.0)),
        ValueError,
        ["prediction='custom'", "does not determine"],
    ),
    "weights of a parameterization": (
        lambda: Parameterization(network, network, weights=5),
        TypeError,
        ["weights", "int"],
    ),
    "sigma_data huge": (lambda: edm(1e200), ValueError, ["sigma_data", "1e60"]),
    "model_kwargs": (
        lambda: Denoiser(network, LINEAR, model_kwargs=1),
        TypeError,
        ["model_kwargs", "1"],
    ),
    "denoiser and prediction": (
        lambda: run(model=DENOISER, prediction="x0"),
        ValueError,
        ["prediction", "Denoiser"],
    ),
    "keyword twice": (
        lambda: run(model=ClassifierFreeGuidance(network, 2.0, {"y": 1}, {"y": 1}), y=2),
        ValueError,
        ["['y']", "cond"],
    ),
    "labels of two shapes": (
        lambda: run(model=ClassifierFreeGuidance(network, 2.0, {"y": X}, {"y": X[:, :2]})),
        ValueError,
        ["y", "(2, 3)", "(2, 2)"],
    ),
    "labels of one": (
        lambda: run(model=ClassifierFreeGuidance(network, 2.0, {"y": X}, {"y": None})),
        ValueError,
        ["y", "array in both"],
    ),
    "cond": (lambda: ClassifierFreeGuidance(network, 2.0, None, {}), TypeError, ["cond", "None"]),
    "interval below 0": (lambda: switch(DENOISER, DENOISER, -2.0), ValueError, ["-2.0"]),
    "mask outside": (lambda: inpaint(DENOISER, X, 2 * X), ValueError, ["mask", "between 0 and 1"]),
    "mask complex": (lambda: inpaint(DENOISER, X, X * 1j), TypeError, ["mask", "complex"]),
    "threshold of a number": (
        lambda: DynamicThreshold()(np.array(1.0)),
        ValueError,
        ["x0", "batch"],
    ),
    "mixture": (lambda: Mixture([0.0], [-1.0]), ValueError, ["spreads", "-1.0"]),
    "mixture weights": (
        lambda: Mixture([0.0, 1.0], [1.0, 1.0], [0.5, 0.6]),
        ValueError,
        ["weights", "sum to 1"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])


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
