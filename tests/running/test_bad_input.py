"""Bad input to samples, and networks and samplers that return what they may not, are named."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import schedalg
from schedalg import DDIM, DDPM, Denoiser, EulerAncestral, Schedule, sample_steps
from tests.bad_input import DENOISER, LINEAR, PLAN, ZERO_SNR, Planned, X, check_named, network, run


def wrong_after(calls: int, wrong: float) -> Callable[..., np.ndarray]:
    """Return a network that returns a wrong number from some call on."""
    count = 0

    def model(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        return x * (wrong if count > calls else 1.0)

    return model


class NoStep:
    def init(self, x: Any, schedule: Any) -> None: ...


class Returns:
    """A sampler whose step returns what a function makes of x."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def init(self, x: Any, schedule: Any) -> None: ...

    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any, state: None) -> Any:
        return self.function(x)


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "x integer": (lambda: run(x=np.ones((2, 3), dtype=int)), TypeError, ["x", "int64"]),
    "x complex": (lambda: run(x=np.ones((2, 3), dtype=complex)), TypeError, ["x", "complex128"]),
    "x a list": (lambda: run(x=[[1.0]]), TypeError, ["x", "list"]),
    "x 0-D": (lambda: run(x=np.array(1.0)), ValueError, ["x", "batch"]),
    "model None": (lambda: run(model=None), TypeError, ["model", "NoneType"]),
    "sampler a class": (lambda: run(sampler=DDIM), TypeError, ["sampler", "DDIM()"]),
    "sampler lacks step": (lambda: run(sampler=NoStep()), TypeError, ["sampler", "NoStep", "step"]),
    "prediction": (
        lambda: run(prediction="eps"),
        ValueError,
        ["prediction", "'eps'", "'epsilon'", "'x0'", "'v'"],
    ),
    "epsilon at zero SNR": (
        lambda: run(schedule=ZERO_SNR),
        ValueError,
        ["'epsilon'", "timestep 9", "'v'"],
    ),
    "output shape": (
        lambda: run(model=lambda x, t: x[:1]),
        ValueError,
        ["model output", "shape", "(2, 3)", "(1, 3)", "timestep 9"],
    ),
    "output dtype": (
        lambda: run(model=lambda x, t: x.astype(np.float32)),
        ValueError,
        ["model output", "dtype", "float64", "float32"],
    ),
    "output None": (
        lambda: run(model=lambda x, t: None),
        TypeError,
        ["model output at timestep 9 is None", "return its result"],
    ),
    "sampler a name": (lambda: run(sampler="ddim"), TypeError, ["sampler", "DDIM()", "'ddim'"]),
    "noise a list of generators": (
        lambda: run(sampler=DDPM(), noise=[np.random.default_rng(0)] * 2),
        TypeError,
        ["noise[0]", "Generator", "by itself"],
    ),
    "output NaN": (
        lambda: run(model=wrong_after(4, np.nan), check_finite=True),
        ValueError,
        ["NaN", "call 4 (the first is 0)", "timestep 5"],
    ),
    "x NaN": (
        lambda: run(x=X * np.nan, check_finite=True),
        ValueError,
        ["NaN", "call 0 (the first is 0)", "timestep 9", "look whether x was finite"],
    ),
    "variance NaN": (
        lambda: run(
            sampler=DDPM("learned"),
            model=lambda x, t: np.concatenate([x, x * np.nan], axis=1),
            check_finite=True,
        ),
        ValueError,
        ["NaN", "call 0"],
    ),
    "output inf": (
        lambda: run(model=wrong_after(0, np.inf), check_finite=True),
        ValueError,
        ["infinity", "call 0", "timestep 9"],
    ),
    "noise text": (lambda: run(noise="seed"), TypeError, ["noise", "str"]),
    "noise bool": (lambda: run(noise=True), TypeError, ["noise", "True"]),
    "noise negative": (lambda: run(noise=-1), ValueError, ["noise", "-1"]),
    "noise unlike x": (
        lambda: run(sampler=DDPM(), noise=lambda x: x[:1]),
        ValueError,
        ["noise", "(2, 3)", "(1, 3)"],
    ),
    "alpha below float64": (
        lambda: run(schedule=Schedule.from_betas([0.999] * 400), sampler=DDPM(), prediction="v"),
        ValueError,
        ["alpha", "smallest float", "start from schedule["],
    ),
    "sample of no schedule": (lambda: run(schedule=[1, 2]), TypeError, ["schedule", "list"]),
    "state forgotten": (
        lambda: run(sampler=Returns(lambda x: x)),
        TypeError,
        ["sampler.step", "(x, state)", "shape (2, 3)"],
    ),
    "dtype leaked": (
        lambda: run(sampler=Returns(lambda x: (x * np.float64(1), None)), x=X.astype("f4")),
        ValueError,
        ["sampler.step", "dtype", "float32", "float64"],
    ),
    "output None, checked": (
        lambda: run(model=lambda x, t: None, check_finite=True),
        TypeError,
        ["model output at timestep 9 is None"],
    ),
    "byte order": (
        lambda: run(x=X.astype(X.dtype.newbyteorder())),
        TypeError,
        ["x", "byte order"],
    ),
    "another schedule's plan": (
        lambda: run(sampler=Planned(DDIM().plan(LINEAR[:5]))),
        ValueError,
        ["another schedule", "5 points", "10 points"],
    ),
    "another schedule's denoiser": (
        lambda: schedalg.run(PLAN, Denoiser(network, LINEAR[:5]), X),
        ValueError,
        ["another schedule", "5 points", "10 points"],
    ),
    "run of a sampler": (
        lambda: schedalg.run(DDIM(), network, X),
        TypeError,
        ["plan", "DDIM().plan(schedule)", "got schedalg.samplers.ddim.DDIM"],
    ),
    "no plan": (lambda: run(sampler=Planned(None)), TypeError, ["sampler.plan", "NoneType"]),
    "run of no array": (lambda: schedalg.run(PLAN, network, [1.0]), TypeError, ["x", "list"]),
    "run with prediction": (
        lambda: schedalg.run(PLAN, network, X, prediction="noise"),
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
    "capture and a function as clip": (
        lambda: run(capture=True, clip=lambda x0: x0),
        ValueError,
        ["capture=True", "clip=None or (low, high)"],
    ),
    "capture and a generator": (
        lambda: run(sampler=DDPM(), capture=True, noise=np.random.default_rng(0)),
        ValueError,
        ["capture=True", "noise from a seed"],
    ),
    "capture and steps": (
        lambda: run(sampler=Returns(lambda x: (x, None)), capture=True),
        ValueError,
        ["capture=True", "a plan"],
    ),
    "denoiser and prediction": (
        lambda: run(model=DENOISER, prediction="x0"),
        ValueError,
        ["prediction", "Denoiser"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])


def test_sample_steps_checks_before_the_first_step() -> None:
    with pytest.raises(TypeError, match="x must be"):
        sample_steps(network, LINEAR, DDIM(), [1.0])


def test_not_finite_output_is_let_through_unless_asked_for() -> None:
    assert np.isnan(run(model=wrong_after(4, np.nan))).all()


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
@pytest.mark.parametrize("progress", [False, True])
@pytest.mark.parametrize("sampler", [DDIM(), Returns(lambda x: (x * x, None))])
def test_x_that_overflows_though_outputs_are_finite_is_named(sampler: Any, progress: bool) -> None:
    if progress:
        pytest.importorskip("tqdm")
    x = np.full((2, 3), 400, np.float16)
    given = {"schedule": Schedule.karras(3), "sampler": sampler, "x": x, "progress": progress}

    def model(x: Any, sigma: Any) -> Any:
        return np.full_like(x, 6e4)

    assert not np.isfinite(run(model=model, **given)).all()
    said = r"x became NaN or infinity, and no output of the network was so: float16 may have"
    with pytest.raises(ValueError, match=said):
        run(model=model, check_finite=True, **given)
    with pytest.raises(ValueError, match=said):
        next(sample_steps(model, check_finite=True, **given))


def test_zero_snr_is_fine_where_the_prediction_determines_x0() -> None:
    for prediction in ("v", "x0"):
        for sampler in (DDIM(), DDIM(1.0), DDPM(), DDPM("fixed_large")):
            image = run(schedule=ZERO_SNR, prediction=prediction, sampler=sampler, noise=0)
            assert np.isfinite(image).all()
