"""Bad input is an error that names the argument, the value, the place and what is allowed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, Denoiser, Schedule, TimestepRemap, sample, sample_steps

LINEAR = Schedule.linear(10)
KARRAS = Schedule.karras(10)
ZERO_SNR = LINEAR.rescale_zero_terminal_snr()
X = np.ones((2, 3))


def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    return x


def run(
    model: Any = network, schedule: Any = LINEAR, sampler: Any = None, x: Any = X, **kw: Any
) -> Any:
    return sample(model, schedule, DDIM() if sampler is None else sampler, x, **kw)


def wrong_after(calls: int, wrong: float) -> Callable[..., np.ndarray]:
    """Return a network that puts out a wrong number from some call on."""
    count = 0

    def model(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        return x * (wrong if count > calls else 1.0)

    return model


class NoStep:
    def init(self, x: Any, schedule: Any) -> None: ...


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    # Tables of numbers
    "beta 0": (lambda: Schedule.from_betas([0.1, 0.0]), ValueError, ["betas[1]", "0.0", "(0, 1)"]),
    "beta < 0": (lambda: Schedule.from_betas([-0.5]), ValueError, ["betas[0]", "-0.5"]),
    "beta > 1": (lambda: Schedule.from_betas([0.1, 1.5]), ValueError, ["betas[1]", "1.5"]),
    "beta NaN": (lambda: Schedule.from_betas([0.1, np.nan]), ValueError, ["betas[1]", "nan"]),
    "beta inf": (lambda: Schedule.from_betas([np.inf]), ValueError, ["betas[0]", "inf"]),
    "beta 1 inside": (
        lambda: Schedule.from_betas([0.1, 1.0, 0.5, 1.0]),
        ValueError,
        ["betas[1]", "1.0", "last may be 1"],
    ),
    "no betas": (lambda: Schedule.from_betas([]), ValueError, ["betas", "empty"]),
    "betas 2-D": (lambda: Schedule.from_betas([[0.1]]), ValueError, ["betas", "1-D", "(1, 1)"]),
    "betas 0-D": (lambda: Schedule.from_betas(np.array(0.1)), ValueError, ["betas", "1-D"]),
    "betas a number": (lambda: Schedule.from_betas(0.1), TypeError, ["betas", "float"]),
    "betas a string": (lambda: Schedule.from_betas("0.1"), TypeError, ["betas", "str"]),
    "betas words": (lambda: Schedule.from_betas(["a"]), TypeError, ["betas", "real numbers"]),
    "betas bool": (lambda: Schedule.from_betas([True]), TypeError, ["betas", "bool"]),
    "betas complex": (lambda: Schedule.from_betas([0.1j]), TypeError, ["betas", "complex"]),
    "betas None": (lambda: Schedule.from_betas(None), TypeError, ["betas", "NoneType"]),
    "betas ragged": (lambda: Schedule.from_betas([[0.1], [0.1, 0.2]]), ValueError, ["betas"]),
    "ᾱ rises": (
        lambda: Schedule.from_alphas_cumprod([0.9, 0.5, 0.6]),
        ValueError,
        ["alphas_cumprod[2]", "0.6", "fall"],
    ),
    "ᾱ stays": (
        lambda: Schedule.from_alphas_cumprod([0.9, 0.9]),
        ValueError,
        ["alphas_cumprod[1]", "0.9", "fall"],
    ),
    "ᾱ 1": (lambda: Schedule.from_alphas_cumprod([1.0]), ValueError, ["alphas_cumprod[0]", "1.0"]),
    "ᾱ < 0": (
        lambda: Schedule.from_alphas_cumprod([0.5, -0.1]),
        ValueError,
        ["alphas_cumprod[1]", "-0.1"],
    ),
    "ᾱ NaN": (
        lambda: Schedule.from_alphas_cumprod([np.nan]),
        ValueError,
        ["alphas_cumprod[0]", "nan"],
    ),
    "σ falls": (
        lambda: Schedule.from_sigmas([10.0, 1.0]),
        ValueError,
        ["sigmas[1]", "1.0", "least to most noisy"],
    ),
    "σ 0": (lambda: Schedule.from_sigmas([0.0, 1.0]), ValueError, ["sigmas[0]", "0.0"]),
    "σ inf": (lambda: Schedule.from_sigmas([1.0, np.inf]), ValueError, ["sigmas[1]", "inf"]),
    "log SNR rises": (
        lambda: Schedule.from_log_snr([0.0, 1.0]),
        ValueError,
        ["log_snr[1]", "1.0", "fall"],
    ),
    "log SNR inf": (lambda: Schedule.from_log_snr([np.inf]), ValueError, ["log_snr[0]", "inf"]),
    "log SNR kind": (
        lambda: Schedule.from_log_snr([0.0], kind="sub-vp"),
        ValueError,
        ["kind", "'sub-vp'", "'flow'"],
    ),
    "log SNR -inf, ve": (
        lambda: Schedule.from_log_snr([0.0, -np.inf], kind="ve"),
        ValueError,
        ["log_snr[1]", "-inf", "infinite"],
    ),
    "ᾱ(t) rises": (
        lambda: Schedule.from_alpha_bar(lambda t: 0.5 + t / 4, 4),
        ValueError,
        ["alpha_bar(1/4)", "0.5625", "0.5", "fall"],
    ),
    "ᾱ(t) negative": (
        lambda: Schedule.from_alpha_bar(lambda t: 0.9 - t, 4),
        ValueError,
        ["alpha_bar(4/4)", "-0.09", "0.15", "down to 0"],
    ),
    "ᾱ(t) NaN": (
        lambda: Schedule.from_alpha_bar(lambda t: np.nan, 4),
        ValueError,
        ["alpha_bar", "nan"],
    ),
    "timesteps short": (
        lambda: Schedule.from_betas([0.1, 0.2], timesteps=[1]),
        ValueError,
        ["timesteps", "(2,)", "(1,)"],
    ),
    "timesteps NaN": (
        lambda: Schedule.from_betas([0.1], timesteps=[np.nan]),
        ValueError,
        ["timesteps[0]", "nan"],
    ),
    "timesteps words": (
        lambda: Schedule.from_betas([0.1], timesteps=["a"]),
        TypeError,
        ["timesteps", "real numbers"],
    ),
    # Named schedules
    "n 0": (lambda: Schedule.linear(0), ValueError, ["n", "at least 1", "0"]),
    "n float": (lambda: Schedule.linear(10.0), TypeError, ["n", "integer", "10.0"]),
    "n bool": (lambda: Schedule.cosine(True), TypeError, ["n", "integer", "True"]),
    "beta_end 2": (
        lambda: Schedule.linear(10, beta_end=2.0),
        ValueError,
        ["beta_end", "(0, 1]", "2.0"],
    ),
    "beta_start 0": (lambda: Schedule.sigmoid(10, beta_start=0.0), ValueError, ["beta_start"]),
    "max_beta": (lambda: Schedule.cosine(10, max_beta=1.5), ValueError, ["max_beta", "1.5"]),
    "cosine s": (lambda: Schedule.cosine(10, s=-1.0), ValueError, ["s", "-1.0"]),
    "sigma range": (
        lambda: Schedule.karras(10, sigma_min=5.0, sigma_max=2.0),
        ValueError,
        ["sigma_min", "5.0", "2.0"],
    ),
    "rho": (lambda: Schedule.karras(10, rho=0.0), ValueError, ["rho", "0.0"]),
    "shift 0": (lambda: Schedule.flow(10, shift=0.0), ValueError, ["shift", "0.0"]),
    # Choosing points
    "every 0": (lambda: LINEAR.subsample(every=0), ValueError, ["every", "0"]),
    "every < 0": (lambda: LINEAR.subsample(every=-2), ValueError, ["every", "-2"]),
    "every > N": (lambda: LINEAR.subsample(every=11), ValueError, ["every", "10", "11"]),
    "every float": (lambda: LINEAR.subsample(every=2.5), TypeError, ["every", "2.5"]),
    "two ways": (
        lambda: LINEAR.subsample(every=2, steps=5),
        ValueError,
        ["one way", "every, steps"],
    ),
    "no way": (lambda: LINEAR.subsample(), ValueError, ["one way", "none"]),
    "spacing alone": (
        lambda: LINEAR.subsample(every=2, spacing="leading"),
        ValueError,
        ["spacing", "every="],
    ),
    "steps 0": (lambda: LINEAR.subsample(steps=0), ValueError, ["steps", "0"]),
    "steps > N": (lambda: LINEAR.subsample(steps=11), ValueError, ["steps", "10", "11"]),
    "spacing unknown": (
        lambda: LINEAR.subsample(steps=5, spacing="random"),
        ValueError,
        ["spacing", "'random'", "'leading'", "'karras'"],
    ),
    "offset too far": (
        lambda: LINEAR.subsample(steps=10, offset=1),
        ValueError,
        ["offset", "1", "0 to 9"],
    ),
    "offset, trailing": (
        lambda: LINEAR.subsample(steps=5, spacing="trailing", offset=1),
        ValueError,
        ["offset", "'trailing'"],
    ),
    "rounded, leading": (
        lambda: LINEAR.subsample(steps=5, rounded=True),
        ValueError,
        ["rounded", "'leading'"],
    ),
    "rounded, continuous": (
        lambda: KARRAS.subsample(steps=5, spacing="log_snr", rounded=True),
        ValueError,
        ["rounded", "noise levels"],
    ),
    "noise spacing at zero SNR": (
        lambda: ZERO_SNR.subsample(steps=5, spacing="karras"),
        ValueError,
        ["point 9", "zero signal", "schedule[:9]"],
    ),
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
    # Transforms
    "compose kinds": (lambda: LINEAR.compose(KARRAS), ValueError, ["kind", "'vp'", "'ve'"]),
    "compose networks": (
        lambda: LINEAR.compose(KARRAS.as_vp()),
        ValueError,
        ["network_kind", "'vp'", "'ve'"],
    ),
    "compose elsewhere": (
        lambda: LINEAR[:5].compose(LINEAR[7:]),
        ValueError,
        ["origin", "log alpha_cumprod"],
    ),
    "compose ve": (lambda: KARRAS.compose(KARRAS), ValueError, ["'ve'", "as_vp()"]),
    "compose past the end": (lambda: ZERO_SNR.compose(LINEAR), ValueError, ["zero signal"]),
    "compose a list": (lambda: LINEAR.compose([0.1]), TypeError, ["other", "list"]),
    "shift < 0": (lambda: LINEAR.shift(-1.0), ValueError, ["factor", "-1.0"]),
    "shift NaN": (lambda: LINEAR.shift(np.nan), ValueError, ["factor", "nan"]),
    "shift text": (lambda: LINEAR.shift("3"), TypeError, ["factor", "'3'"]),
    "zero SNR of ve": (
        lambda: KARRAS.rescale_zero_terminal_snr(),
        ValueError,
        ["variance-preserving", "'ve'"],
    ),
    "zero SNR of one": (
        lambda: LINEAR[:1].rescale_zero_terminal_snr(),
        ValueError,
        ["at least 2", "1"],
    ),
    "as_ve at zero SNR": (lambda: ZERO_SNR.as_ve(), ValueError, ["point 9", "no signal"]),
    "betas of ve": (lambda: KARRAS.to_betas(), ValueError, ["to_betas", "'ve'", "as_vp()"]),
    "alphas of flow": (lambda: Schedule.flow(3).to_alphas(), ValueError, ["to_alphas", "'flow'"]),
    "ᾱ of ve": (lambda: KARRAS.to_alphas_cumprod(), ValueError, ["to_alphas_cumprod", "'ve'"]),
    "at outside": (lambda: LINEAR.at(9.5), ValueError, ["t", "9.5", "[0, 9]"]),
    "at below": (lambda: LINEAR.at(-0.1), ValueError, ["t", "-0.1"]),
    "at NaN": (lambda: LINEAR.at(np.nan), ValueError, ["t", "nan"]),
    "at text": (lambda: LINEAR.at("1"), TypeError, ["t", "'1'"]),
    "at zero SNR": (lambda: ZERO_SNR.at(8.5), ValueError, ["8", "9", "zero signal"]),
    "at of repeats": (lambda: LINEAR.compose(LINEAR).at(3), ValueError, ["rise", "9, 0"]),
    "refine 0": (lambda: LINEAR.refine(0), ValueError, ["k", "0"]),
    "prior of nothing": (lambda: LINEAR[:0].prior_std, ValueError, ["empty"]),
    "from_dict": (lambda: Schedule.from_dict({}), ValueError, ["data", "None"]),
    "from_dict lacking": (
        lambda: Schedule.from_dict({"type": "schedalg.Schedule", "version": 1}),
        ValueError,
        ["lacks", "timesteps"],
    ),
    "from_dict rising": (
        lambda: Schedule.from_dict(
            {**LINEAR[:2].to_dict(), "log_alphas_cumprod": [[0.0, -2.0, -1.0], [0.0, 0.0, 0.0]]}
        ),
        ValueError,
        ["fall"],
    ),
    # Training
    "k out of range": (
        lambda: LINEAR.add_noise(X, X, np.array([0, 10])),
        ValueError,
        ["k[1]", "10", "0 to 9"],
    ),
    "k negative": (lambda: LINEAR.add_noise(X, X, -1), ValueError, ["k is -1", "0 to 9"]),
    "k float": (lambda: LINEAR.add_noise(X, X, 1.0), TypeError, ["k", "integers"]),
    "k too many": (lambda: LINEAR.add_noise(X, X, np.arange(3)), ValueError, ["k", "2", "(3,)"]),
    "noise shape": (
        lambda: LINEAR.add_noise(X, X[:1], 0),
        ValueError,
        ["noise", "(2, 3)", "(1, 3)"],
    ),
    "noise dtype": (
        lambda: LINEAR.add_noise(X, X.astype(np.float32), 0),
        ValueError,
        ["noise", "float64", "float32"],
    ),
    "x0 integer": (
        lambda: LINEAR.add_noise(X.astype(int), X.astype(int), 0),
        TypeError,
        ["x0", "int64"],
    ),
    "target unknown": (
        lambda: LINEAR.target(X, X, 0, "noise"),
        ValueError,
        ["prediction", "'noise'", "'epsilon'"],
    ),
    # Models and samplers
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
    "clip a number": (lambda: run(clip=1.0), TypeError, ["clip", "1.0"]),
    "clip reversed": (lambda: run(clip=(1, -1)), ValueError, ["clip", "(1, -1)"]),
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
    "output None": (lambda: run(model=lambda x, t: None), TypeError, ["model", "NoneType"]),
    "output NaN": (
        lambda: run(model=wrong_after(4, np.nan), check_finite=True),
        ValueError,
        ["NaN", "call 4 (the first is 0)", "timestep 5"],
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
    "eta > 1": (lambda: DDIM(eta=1.5), ValueError, ["eta", "1.5", "[0, 1]"]),
    "eta < 0": (lambda: DDIM(eta=-0.1), ValueError, ["eta", "-0.1"]),
    "eta NaN": (lambda: DDIM(eta=np.nan), ValueError, ["eta", "nan"]),
    "eta text": (lambda: DDIM(eta="1"), TypeError, ["eta", "'1'"]),
    "variance": (
        lambda: DDPM("large"),
        ValueError,
        ["variance", "'large'", "'fixed_small'", "'learned_range'"],
    ),
    "denoise at the origin": (
        lambda: Denoiser(network, LINEAR)(X, LINEAR.origin),
        ValueError,
        ["clean", "timestep"],
    ),
    "remap float": (
        lambda: TimestepRemap(network, LINEAR)(X, np.array([1.0, 2.0])),
        TypeError,
        ["k", "integers", "float64"],
    ),
    "remap range": (
        lambda: TimestepRemap(network, LINEAR)(X, np.array([1, 10])),
        ValueError,
        ["k[1]", "10", "0 to 9"],
    ),
    "remap shape": (
        lambda: TimestepRemap(network, LINEAR)(X, np.arange(3)),
        ValueError,
        ["k", "2", "(3,)"],
    ),
    "remap rescale": (
        lambda: TimestepRemap(network, LINEAR, rescale_timesteps=True),
        ValueError,
        ["original_num_steps"],
    ),
    "remap nothing": (lambda: TimestepRemap(network, LINEAR[:0]), ValueError, ["no points"]),
    # What slips through elsewhere
    "masked": (
        lambda: Schedule.from_betas(np.ma.array([0.1, 0.2], mask=[0, 1])),
        TypeError,
        ["betas", "masked"],
    ),
    "a set": (lambda: LINEAR.subsample(indices={1}), TypeError, ["indices", "set"]),
    "mixed with bools": (lambda: LINEAR[[True, 2]], TypeError, ["index", "not both"]),
    "uint64": (
        lambda: Schedule.from_betas([0.1], timesteps=np.array([2**64 - 1], dtype=np.uint64)),
        ValueError,
        ["timesteps[0]", "18446744073709551615", "64-bit"],
    ),
    "large index": (lambda: LINEAR[[2**63]], ValueError, ["index[0]", "9223372036854775808"]),
    "numpy bool": (lambda: LINEAR.shift(np.True_), TypeError, ["factor", "True"]),
    "shift small": (lambda: LINEAR.shift(1e-200), ValueError, ["factor", "1e-60", "1e-200"]),
    "shift large": (lambda: LINEAR.shift(10**400), ValueError, ["factor", "inf"]),
    "beta of nothing": (
        lambda: Schedule.from_betas([0.9] * 5 + [1e-32]),
        ValueError,
        ["step 5", "1e-32", "1e-30"],
    ),
    "karras range": (
        lambda: Schedule.karras(10, 1.0, 1e160),
        ValueError,
        ["sigma_max", "1e+153", "1e+160"],
    ),
    "karras rho": (lambda: Schedule.karras(10, rho=1e30), ValueError, ["rho", "[0.1, 100]"]),
    "zero SNR of a ve network": (
        lambda: KARRAS.as_vp().rescale_zero_terminal_snr(),
        ValueError,
        ["network_kind 've'", "pure noise"],
    ),
    "ve too noisy": (
        lambda: Schedule.from_log_snr([0.0, -1e6], kind="ve"),
        ValueError,
        ["log_snr[1]", "-1000000.0", "infinite"],
    ),
    "no room between points": (
        lambda: Schedule.from_betas([0.9] * 10 + [1e-12] * 10)[10:].subsample(
            steps=5000, spacing="karras"
        ),
        ValueError,
        ["5000", "float64"],
    ),
    "alpha below float64": (
        lambda: run(schedule=Schedule.from_betas([0.999] * 400), sampler=DDPM(), prediction="v"),
        ValueError,
        ["alpha", "smallest float", "start from schedule["],
    ),
    "from_dict of None": (lambda: Schedule.from_dict(None), TypeError, ["data", "NoneType"]),
    "from_dict origin": (
        lambda: Schedule.from_dict({**LINEAR.to_dict(), "origin_timestep": "a"}),
        TypeError,
        ["origin_timestep", "'a'"],
    ),
    "from_dict lists": (
        lambda: Schedule.from_dict({**LINEAR.to_dict(), "log_alphas_cumprod": "ab"}),
        ValueError,
        ["log_alphas_cumprod", "two lists", "'ab'"],
    ),
    "from_dict positive": (
        lambda: Schedule.from_dict(
            {**LINEAR[:1].to_dict(), "log_alphas_cumprod": [[1.0, -1.0], [0.0, 0.0]]}
        ),
        ValueError,
        ["log_alphas_cumprod[0][0]", "1.0", "at most 0"],
    ),
    "from_dict low": (
        lambda: Schedule.from_dict(
            {**LINEAR[:1].to_dict(), "log_alphas_cumprod": [[0.0, -1.0], [0.0, 0.5]]}
        ),
        ValueError,
        ["log_alphas_cumprod[1][1]", "0.5", "rounding"],
    ),
    "from_dict infinite inside": (
        lambda: Schedule.from_dict(
            {**LINEAR[:2].to_dict(), "log_alphas_cumprod": [[0.0, "-inf", -1.0], [0.0, 0.0, 0.0]]}
        ),
        TypeError,
        ["log_alphas_cumprod[0][1]", "'-inf'"],
    ),
    "from_dict kind": (
        lambda: Schedule.from_dict({**LINEAR.to_dict(), "kind": "zz"}),
        ValueError,
        ["kind", "'zz'", "'vp'"],
    ),
    "from_dict pure noise": (
        lambda: Schedule.from_dict({**ZERO_SNR.to_dict(), "network_kind": "ve"}),
        ValueError,
        ["network_kind", "'ve'", "pure noise"],
    ),
    "sample of no schedule": (lambda: run(schedule=[1, 2]), TypeError, ["schedule", "list"]),
    "remap of no model": (lambda: TimestepRemap(None, LINEAR), TypeError, ["model", "NoneType"]),
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
        ["model output", "NoneType"],
    ),
    "byte order": (
        lambda: run(x=X.astype(X.dtype.newbyteorder())),
        TypeError,
        ["x", "byte order"],
    ),
    "x0 0-D": (lambda: LINEAR.add_noise(np.array(1.0), np.array(1.0), 0), ValueError, ["x0", "()"]),
    "noise None": (lambda: LINEAR.add_noise(X, None, 0), TypeError, ["noise", "NoneType"]),
}


class Returns:
    """A sampler whose step returns what a function makes of x."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def init(self, x: Any, schedule: Any) -> None: ...

    def step(self, x: Any, t: Any, s: Any, denoise: Any, noise: Any, state: None) -> Any:
        return self.function(x)


def check_named(call: Callable[[], Any], error: type[Exception], words: list[str]) -> None:
    """Check that a call raises the error, and that its message holds the words."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])


def test_sample_steps_checks_before_the_first_step() -> None:
    with pytest.raises(TypeError, match="x must be"):
        sample_steps(network, LINEAR, DDIM(), [1.0])


def test_not_finite_output_is_let_through_unless_asked_for() -> None:
    assert np.isnan(run(model=wrong_after(4, np.nan))).all()


def test_zero_snr_is_fine_where_the_prediction_determines_x0() -> None:
    for prediction in ("v", "x0"):
        for sampler in (DDIM(), DDIM(1.0), DDPM(), DDPM("fixed_large")):
            image = run(schedule=ZERO_SNR, prediction=prediction, sampler=sampler, noise=0)
            assert np.isfinite(image).all()


def test_mixed_libraries_are_named() -> None:
    torch = pytest.importorskip("torch")
    tensors = Schedule.from_betas(torch.tensor([0.1, 0.2]))
    x = torch.ones(2, 3)
    for call in (
        lambda: Schedule.from_betas([0.1, 0.2]).compose(tensors),
        lambda: sample(network, tensors, DDIM(), X),
        lambda: LINEAR.add_noise(X, x.double(), 0),
        lambda: LINEAR.add_noise(X, X, torch.tensor([1, 2])),
        lambda: sample(network, LINEAR, DDPM(), X, noise=lambda x: torch.ones(2, 3)),
    ):
        with pytest.raises(TypeError, match=r"ndarray.*Tensor"):
            call()
    for k in (-1, 10):
        with pytest.raises(ValueError, match=r"k\[1\].*0 to 9"):
            LINEAR.add_noise(x, x, torch.tensor([0, k]))


def test_eta_of_numpy_keeps_the_sample_s_dtype() -> None:
    image = sample(network, LINEAR, DDIM(np.float64(0.5)), X.astype(np.float32), noise=0)
    assert image.dtype == np.float32
    assert type(DDIM(np.float64(0.5)).eta) is float
