"""A corpus of results, to hold what the library computes against what it computed before.

    python -m tests.corpus freeze FILE.npz
    python -m tests.corpus compare FILE.npz

`freeze` writes some fifty thousand named arrays: columns of schedules, tables of samplers, samples,
and the messages of errors. `compare` computes them again, prints which differ in a bit, and exits
with 1 if any does. A call that raises is kept as the text of its error. Array libraries round
differently on other machines and in other versions: freeze and compare with the same.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import product
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias
from unittest.mock import patch

import numpy as np

import schedalg as sa
from schedalg import DDIM, DDPM, Denoiser, Heun, Plan, Point, Schedule, sample
from schedalg.testing.cases import FAMILIES, cases
from tests.registry.references import StepDDIM, StepDDPM
from tests.registry.samplers import SAMPLERS

Results: TypeAlias = Iterator[tuple[str, Any]]

#: Where the torch backend asks for its compiled loop; it has none where that returns None.
COMPILED_LOOP = "schedalg_torch.torch_backend.step_for"

X = np.random.default_rng(0).standard_normal((2, 3, 4))
PREDICTIONS = ("epsilon", "x0", "v", "flow", "score", "edm")
CLIPS: dict[str, Any] = {"free": None, "clamped": (-1, 1), "threshold": sa.DynamicThreshold()}
SCALES = ("alpha", "sigma", "timesteps", "prior_std", "to_log_snr", "to_sigmas")
STEPS = ("variance", "log_variance_clipped", "mean_coef1", "mean_coef2")
ORIGIN = ("origin.alpha", "origin.sigma", "origin.timestep")
BETAS = ("to_betas", "to_alphas", "to_alphas_cumprod")
TABLE = ("step", "timesteps", "alpha", "sigma", "a", "b", "c", "log_variance", "start")

LINEAR = Schedule.linear(1000)
ZERO_SNR = LINEAR.rescale_zero_terminal_snr()
DISCRETE = ("linear", "scaled_linear", "cosine", "sigmoid", "laplace", "exp")
CONTINUOUS = ("karras", "exponential", "polyexponential", "flow", "flow shift")
TYPICAL = {f"{name}(1000)": FAMILIES[name](1000) for name in DISCRETE}
TYPICAL |= {f"{name}(40)": FAMILIES[name](40) for name in CONTINUOUS} | {"zero SNR": ZERO_SNR}
SPACINGS = ("leading", "trailing", "linspace", "quadratic", "log_snr", "exponential", "karras")
CHOICES: tuple[dict[str, Any], ...] = (
    *({"steps": 9, "spacing": spacing} for spacing in (*SPACINGS, "beta")),
    *({"steps": 9, "spacing": "karras", "rounded": True}, {"steps": 9, "offset": 1}),
    *({"every": 7}, {"indices": [0, 3, 4, 17, 39]}, {"timesteps": [2, 21, 38]}),
    *({"sections": "3,4,5"}, {"sections": 6}, {"sections": "ddim10"}),
)
DERIVED: dict[str, Callable[[Schedule], Schedule]] = {
    "all": lambda s: s,
    "first": lambda s: s[: len(s) // 3],
    "last": lambda s: s[len(s) // 3 :],
    "strided": lambda s: s[5:35:7],
    "mask": lambda s: s[np.arange(len(s)) % 3 == 1],
    "known timesteps": lambda s: s.subsample(timesteps=s.timesteps[[2, 21, 38]]),
    "joined": lambda s: s[:10].compose(s[10:30]),
    "twice": lambda s: s[:20].compose(s[::4]),
    "shift": lambda s: s.shift(3.0),
    "shift of a slice": lambda s: s[10:].shift(0.5),
    "refine": lambda s: s[: len(s) // 2 : 2].refine(3),
    "zero SNR": lambda s: s.rescale_zero_terminal_snr(),
    "as_ve": lambda s: s.as_ve(),
    "as_vp": lambda s: s.as_vp(),
    "as_flow": lambda s: s.as_flow(),
    "there and back": lambda s: s.as_flow().as_ve().shift(2.0).as_vp(),
}
#: Short schedules: samples are drawn along all of them, tables made for these and the others.
SAMPLED = {
    "linear trailing": LINEAR.subsample(steps=8, spacing="trailing"),
    "karras": Schedule.karras(9),
    "flow": Schedule.flow(9, shift=3.0),
    "flow below 1": Schedule.flow(9)[:8],
    "zero SNR": ZERO_SNR.subsample(steps=8, spacing="trailing"),
    "cosine slice": Schedule.cosine(1000).subsample(steps=16)[6:14],
    "linear as ve": LINEAR.subsample(steps=8, spacing="karras").as_ve(),
}
SHORT = SAMPLED | {
    "cosine log_snr": Schedule.cosine(1000).subsample(steps=10, spacing="log_snr"),
    "karras as vp": Schedule.karras(9).as_vp(),
    "karras slice": Schedule.karras(14)[4:13],
    "flow as ve": Schedule.flow(12)[:9].as_ve(),
    "zero SNR as flow": ZERO_SNR.subsample(every=111).as_flow(),
    "sigmoid shifted": Schedule.sigmoid(1000).subsample(every=120).shift(0.5),
    "three": LINEAR.subsample(steps=3, spacing="linspace"),
    "one": LINEAR[[700]],
}
PLANNERS: dict[str, Any] = {name: entry.sampler for name, entry in SAMPLERS.items()}
PLANNERS |= {"DDPM learned": DDPM("learned"), "DDPM learned_range": DDPM("learned_range")}
PLANNERS |= {"LCM scaled": sa.LCM(timestep_scaling=5.0), "TCD trained": sa.TCD(trained=LINEAR)}
LARGE = ("DDPM", "DDIM", "Heun churn", "UniPC-3", "PNDM")
GUIDED = ("DDPM", "DDIM", "Heun", "UniPC-3", "DPM-Solver++ 2M", "PNDM", "RePaint", "DDPM learned")


class Network(NamedTuple):
    """A smooth network for arrays of `xp`; `doubled` if it puts out a variance as well."""

    xp: Any = np
    doubled: bool = False

    def __call__(self, x: Any, timesteps: Any, y: Any = None) -> Any:
        """Return an array like x, or of twice its channels."""
        phase = self.xp.sin(self.xp.asarray(timesteps, dtype=self.xp.float64))
        place = self.xp.asarray(phase, dtype=x.dtype).reshape((-1,) + (1,) * (x.ndim - 1))
        output = self.xp.tanh(0.8 * x + place) + 0.1 * x
        if y is not None:
            output = output + y.reshape(place.shape)
        if not self.doubled:
            return output
        return self.xp.concatenate([output, self.xp.tanh(x - place)], axis=1)


class Stepping:
    """A sampler without a table: noisy, and with a memory of the last x0."""

    def init(self, x: Any, schedule: Schedule) -> Any:
        """Return nothing remembered."""
        return None

    def step(self, x: Any, t: Point, s: Point, denoise: Any, noise: Any, state: Any) -> Any:
        """Return x at s, and the prediction for the next step."""
        x0 = denoise(x, t)
        mean = x0 if state is None else 0.75 * x0 + 0.25 * state
        eps = (x - t.alpha * mean) / t.sigma
        return s.alpha * mean + s.sigma * (0.6 * eps + 0.8 * noise(x)), x0


STEPPERS = {"own": Stepping(), "DDIM 0.5": StepDDIM(0.5), "DDPM": StepDDPM()}


def attempt(call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Return what a call returns, or the text of the error that it raises."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def value_of(s: Schedule, name: str) -> Any:
    """Return what a schedule says by an attribute or a method."""
    value = attrgetter(name)(s)
    return value() if callable(value) else value


def schedules() -> Results:
    """Yield what schedules tell of themselves, and do to data."""
    named: dict[str, Any] = {f"cases/{name}": s for name, s in cases((1, 20))}
    named |= {f"short/{name}": s for name, s in SHORT.items()}
    for name, s in TYPICAL.items():
        named |= {f"{name}/{how}": attempt(derive, s) for how, derive in DERIVED.items()}
        for how in CHOICES:
            words = " ".join(f"{key}={value}" for key, value in how.items())
            named[f"{name}/{words}"] = attempt(s.subsample, **how)
    for name, s in named.items():
        if isinstance(s, str):
            yield f"schedule/{name}/error", s
            continue
        columns = [*SCALES, *ORIGIN, *(f"posterior_{column}" for column in STEPS)]
        columns += [*(BETAS if s.kind == "vp" else ()), *(["to_dict"] if len(s) < 20 else [])]
        for column in columns:
            yield f"schedule/{name}/{column}", attempt(value_of, s, column)
    noise = np.cos(7 * X)
    for (name, s), k in product(SAMPLED.items(), (0, 5, 7)):
        yield f"training/{name}/{k}/noisy", attempt(s.add_noise, X, noise, k)
        for p in PREDICTIONS:
            yield f"training/{name}/{k}/{p}", attempt(s.target, X, noise, k, p)
            for q in PREDICTIONS:
                yield f"convert/{name}/{k}/{p}, {q}", attempt(sa.convert, X, noise, s[k], p, q)


def plans() -> Results:
    """Yield the tables of samplers, but for what they make of the network's output."""
    for (name, sampler), (place, s) in product(PLANNERS.items(), SHORT.items()):
        plan = attempt(sampler.plan, s)
        if isinstance(plan, str):
            yield f"plan/{name}/{place}/error", plan
            continue
        for column in TABLE:
            yield f"plan/{name}/{place}/{column}", getattr(plan, column)


def samples() -> Results:
    """Yield samples of every sampler: those with a table, and those without."""
    for name, sampler in (PLANNERS | {f"steps of {k}": v for k, v in STEPPERS.items()}).items():
        noises: dict[str, Any] = {"seed": 7}
        plan = sampler.plan(SAMPLED["linear trailing"]) if name in PLANNERS else None
        if plan is None or plan.c.any() or plan.start[1] or plan.log_variance is not None:
            noises["seeds"] = [7, 8]
        for (place, s), p, clip, noise, dtype in product(
            SAMPLED.items(), PREDICTIONS, CLIPS, noises, ("float64", "float32")
        ):
            if noise == "seeds" and dtype == "float32":
                continue
            call = (Network(doubled="learned" in name), s, sampler, (s.prior_std * X).astype(dtype))
            result = attempt(sample, *call, prediction=p, clip=CLIPS[clip], noise=noises[noise])
            yield f"sample/{name}/{place}/{p}/{clip}/{noise}/{dtype}", result
    yield from large(np, ("float64", "float32"))


def large(xp: Any, dtypes: tuple[str, ...]) -> Results:
    """Yield some places of samples that are too large to be taken through a row at once."""
    for name, (place, s), dtype in product(LARGE, SAMPLED.items(), dtypes):
        wave = s.prior_std * np.sin(1.7 * np.arange(76800.0)).reshape(1, 3, 160, 160)
        x = xp.asarray(wave, dtype=getattr(xp, dtype))
        call = (Network(xp), s, PLANNERS[name], x)
        result = attempt(sample, *call, prediction="v", clip=(-1, 1), noise=7)
        key = f"large/{xp.__name__}/{name}/{place}/{dtype}"
        yield key, result if isinstance(result, str) else result[..., ::7, ::11]


def every_step(*args: Any, **kwargs: Any) -> np.ndarray:
    """Return x after every step."""
    return np.stack(list(sa.sample_steps(*args, **kwargs)))


def inverted(sampler: Any, s: Schedule, prediction: Any, x: np.ndarray) -> Any:
    """Return the noise that a sampler comes to when it is walked the other way."""
    return sa.run(sampler.plan(s).reversed(), Network(), x, prediction=prediction)


def steps() -> Results:
    """Yield x after every step, and samples walked the other way."""
    for (place, s), p, dtype in product(SAMPLED.items(), PREDICTIONS, ("float64", "float32")):
        x = (s.prior_std * X).astype(dtype)
        for name in ("DDPM", "Heun churn", "PNDM", "Restart"):
            result = attempt(every_step, Network(), s, PLANNERS[name], x, prediction=p, noise=7)
            yield f"steps/{name}/{place}/{p}/{dtype}", result
        yield f"inverted/{place}/{p}/{dtype}", attempt(inverted, DDIM(), s, p, x)


def wrapped(
    network: Network, s: Schedule, prediction: Any, clip: Any
) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield networks and denoisers inside others, and what else `sample` is told of them."""
    y, meaning = np.array([0.3, -0.4]), {"prediction": prediction, "clip": clip}
    guided = sa.ClassifierFreeGuidance(network, 2.5, {"y": y}, {"y": 0 * y})
    inner = Denoiser(network, s, prediction, clip=clip)
    yield "classifier-free", guided, meaning
    yield "keyword", network, {**meaning, "y": y, "check_finite": True}
    yield "keyword of a denoiser", Denoiser(network, s, prediction, model_kwargs={"y": y}), {}
    yield "denoiser", inner, {}
    yield "score", sa.classifier_guidance(inner, lambda x, t: np.cos(x), 0.3), {}
    yield "mean", sa.classifier_guidance(inner, lambda x, t: np.cos(x), 0.3, shift="mean"), {}
    yield "inpaint", sa.inpaint(inner, np.cos(X), np.array([1.0, 0.0, 0.5, 1.0])), {}
    other = Denoiser(guided, s, prediction, clip=clip)
    yield "switch", sa.switch(inner, other, t_min=1 / 3, t_max=0.75), {}
    yield "function", Denoiser.from_function(lambda x, t, d: d(x, t) / 2, s, inner), {}


def guidance() -> Results:
    """Yield samples of wrapped networks."""
    samplers = {name: PLANNERS[name] for name in GUIDED} | {"own": STEPPERS["own"]}
    for (place, s), p, clip in product(SAMPLED.items(), ("v", "x0"), ("free", "clamped")):
        # DDPM of learned variance takes the second kind of network; the others take both.
        for how, model, meaning in wrapped(Network(doubled=p == "x0"), s, p, CLIPS[clip]):
            for name, sampler in samplers.items():
                result = attempt(sample, model, s, sampler, s.prior_std * X, noise=7, **meaning)
                yield f"guidance/{how}/{name}/{place}/{p}/{clip}", result


def tensors() -> Results:
    """Yield samples of torch, by its compiled loop (if numba is there) and by its operations."""
    if find_spec("torch") is None or find_spec("schedalg_torch") is None:
        return
    import torch

    torch.set_num_threads(1)
    ways = product(("linear trailing", "karras", "flow"), ("v", "x0"), ("free", "clamped"))
    for name, (place, p, clip), dtype in product(PLANNERS, ways, ("float32", "bfloat16")):
        s, network = SHORT[place], Network(torch, "learned" in name)
        x = torch.asarray(s.prior_std * X).to(getattr(torch, dtype))
        key, call = f"{name}/{place}/{p}/{clip}/{dtype}", (network, s, PLANNERS[name], x)
        yield f"torch/{key}/loop", attempt(sample, *call, prediction=p, clip=CLIPS[clip], noise=7)
        with patch(COMPILED_LOOP, lambda x: None):
            result = attempt(sample, *call, prediction=p, clip=CLIPS[clip], noise=7)
        yield f"torch/{key}/operations", result
    yield from large(torch, ("float32", "bfloat16"))


def errors() -> Results:
    """Yield the errors of calls with something wrong in them."""
    s, k, zero, x, one = Schedule.linear(10), Schedule.karras(10), ZERO_SNR, X[0], np.ones(10)
    network, nan = Network(), np.nan
    inner, plan = Denoiser(network, s), DDIM().plan(s)
    other, words = Denoiser(network, s[:5]), {"model": network, "scale": 2.0}
    run = {"model": network, "schedule": s, "sampler": DDIM(), "x": x, "prediction": "v"}
    noisy = {"sampler": DDPM()}
    overlap: dict[str, Any] = {"sampler": Heun(), "stretches": [(0, 4, 1), (3, 6, 1)]}
    # A function, arguments that all calls of it have, and those with which each is wrong.
    bad: list[tuple[Callable[..., Any], dict[str, Any], list[dict[str, Any]]]] = [
        (Schedule.from_betas, {}, [{"betas": b} for b in ([], "0.1", [1.5], [0.1, 1.0, 0.5])]),
        (Schedule.from_betas, {"betas": [0.1, 0.2]}, [{"timesteps": [1]}, {"timesteps": "ab"}]),
        (Schedule.from_alphas_cumprod, {}, [{"alphas_cumprod": a} for a in ([0.5, 0.6], [nan])]),
        (Schedule.from_sigmas, {}, [{"sigmas": [1.0, np.inf]}, {"sigmas": [10.0, 1.0]}]),
        (Schedule.from_log_snr, {"log_snr": [0.0, 1.0]}, [{}, {"kind": "sub-vp"}]),
        (Schedule.from_alpha_bar, {"n": 4}, [{"alpha_bar": lambda t: 0.9 - t}]),
        (Schedule.from_dict, {}, [{"data": {}}, {"data": 1}]),
        (Schedule.linear, {}, [{"n": 0}, {"n": 10.0}, {"n": 10, "beta_end": 2.0}]),
        (Schedule.karras, {"n": 10}, [{"sigma_min": 100.0}, {"rho": 0.0}]),
        (Schedule.flow, {"n": 10}, [{"shift": 0.0}]),
        (s.subsample, {}, [{}, {"every": 11}, {"every": 2, "steps": 5}, {"steps": 0}]),
        (s.subsample, {"steps": 10}, [{"offset": 1}, {"spacing": "random"}, {"rounded": True}]),
        (s.subsample, {}, [{"indices": [4, 1]}, {"indices": [10]}, {"timesteps": [3, 42]}]),
        (s.subsample, {}, [{"sections": [6, 2]}, {"sections": "ddim7"}, {"sections": "5,x"}]),
        (zero.subsample, {"steps": 5}, [{"spacing": "karras"}]),
        (s.__getitem__, {}, [{"key": 10}, {"key": "a"}, {"key": slice(None, None, -1)}]),
        (s.compose, {}, [{"other": k}, {"other": k.as_vp()}, {"other": s[7:]}, {"other": [0.1]}]),
        (s.shift, {}, [{"factor": -1.0}, {"factor": "3"}]),
        (s.at, {}, [{"t": 9.5}, {"t": nan}]),
        (s.add_noise, {"x0": x, "noise": x}, [{"k": 10}, {"k": 1.0}, {"k": 0, "noise": x[:1]}]),
        (s.target, {"x0": x, "noise": x, "k": 0}, [{"prediction": "noise"}]),
        *((call, {}, [{}]) for call in (k.rescale_zero_terminal_snr, zero.as_ve, k.to_betas)),
        (sample, run, [{"x": x.astype(int)}, {"x": [[1.0]]}, {"model": None}, {"schedule": [1]}]),
        (sample, run, [{"sampler": DDIM}, {"sampler": 1}, {"sampler": DDIM().plan(k)}]),
        (sample, run, [{"prediction": "noise"}, {"clip": (1, -1)}, {"clip": "left"}]),
        (sample, run | noisy, [{"noise": [1]}, {"noise": -1}, {"noise": lambda x: x[:1]}]),
        (sample, run, [{"model": lambda x, t: x[:1]}, {"model": lambda x, t: None}]),
        (sample, run | {"check_finite": True}, [{"model": lambda x, t: x * nan}]),
        (sample, run | {"schedule": zero}, [{"prediction": "epsilon"}, {"prediction": "score"}]),
        (sample, run, [{"model": inner}, {"capture": True}, {"sampler": DDPM("learned")}]),
        (sa.run, {"plan": plan, "x": x}, [{"model": other}, {"model": inner, "clip": (-1, 1)}]),
        (sa.DPMSolverPP, {}, [{"order": 4}, {"order": 3, "singlestep": True}, {"eta": -0.1}]),
        (sa.UniPC, {}, [{"variant": "bh3"}, {"corrector": 1}, {"order": 2.5}]),
        (sa.UniPC(order=3).plan, {}, [{"schedule": s[:2]}, {"schedule": None}]),
        (Heun, {}, [{"eta": 0.5, "s_churn": 1.0}, {"s_tmin": 2.0, "s_tmax": 1.0}]),
        (sa.Tableau, {"b": [0.5, 0.5], "order": 2}, [{"A": [[], [1.5]]}, {"A": [[0.5], [1]]}]),
        (sa.Restart, overlap, [{}, {"stretches": 5}, {"sampler": 1}]),
        (sa.Restart(Heun(), [(3, 10, 1)]).plan, {}, [{"schedule": s}]),
        (sa.RePaint, {}, [{"jump_length": 0}, {"sampler": None}]),
        (sa.TCD, {}, [{"gamma": 1.2}, {"trained": [1]}]),
        (Plan.of, {"schedule": s, "a": one, "b": one}, [{"a": one[1:]}, {"c": nan * one}]),
        (Plan.of, {"schedule": s, "a": one, "b": one}, [{"b": np.ones((10, 3))}, {"memory": "v"}]),
        (Plan.from_dict, {}, [{"data": [1]}, {"data": plan.to_dict() | {"a": "text"}}]),
        (inverted, {"s": s, "prediction": "v", "x": x}, [{"sampler": DDPM()}, {"sampler": Heun()}]),
        (sa.edm, {}, [{"sigma_data": 0.0}]),
        (sa.DynamicThreshold, {}, [{"quantile": 1.5}, {"max_value": 0.5}]),
        (sa.ClassifierFreeGuidance, words, [{"cond": {"y": 1}, "uncond": {}}]),
        (sa.classifier_guidance, {"denoiser": inner}, [{"gradient": 1.0}]),
        (sa.switch, {"inside": inner}, [{"outside": other}, {"outside": inner, "sigma_min": -1}]),
        (sa.inpaint, {"denoiser": inner, "known": x}, [{"mask": 1.0}, {"mask": 2 + x}]),
        (sa.TimestepRemap, {"model": network, "schedule": s}, [{"rescale_timesteps": True}]),
    ]
    for place, (call, usual, wrong) in enumerate(bad):
        for number, changes in enumerate(wrong):
            key = f"error/{call.__name__}/{place}.{number} {', '.join(changes)}"
            yield key, str(attempt(call, **(usual | changes)))


def corpus() -> dict[str, np.ndarray]:
    """Return everything, by name."""
    result: dict[str, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for part in (schedules, plans, samples, steps, guidance, tensors, errors):
            for name, value in part():
                if name in result:
                    raise KeyError(f"two arrays are named {name!r}")
                if hasattr(value, "detach"):  # a tensor, perhaps of a dtype that NumPy has not
                    value = value.detach().double().numpy()
                told = value is None or isinstance(value, dict)
                result[name] = np.asarray(str(value) if told else value)
    return result


def difference(old: np.ndarray | None, new: np.ndarray | None) -> str:
    """Return what distinguishes two arrays, in words; nothing where no bit does."""
    if old is None or new is None:
        return "new" if old is None else "missing"
    if (old.dtype, old.shape, old.tobytes()) == (new.dtype, new.shape, new.tobytes()):
        return ""
    if "U" in (old.dtype.kind, new.dtype.kind):
        return f"\n    was: {old.tolist()}\n    now: {new.tolist()}"
    if (old.dtype, old.shape) != (new.dtype, new.shape):
        return f"was {old.dtype} {old.shape}, now {new.dtype} {new.shape}"
    with np.errstate(invalid="ignore"):
        apart = np.abs(old.astype(np.float64) - new.astype(np.float64))
    words = f"max abs difference {apart[np.isfinite(apart)].max(initial=0.0):.3g}"
    unlike = int(np.sum(np.isfinite(old) != np.isfinite(new)))
    return f"{words}, {unlike} finite in one alone" if unlike else words


def is_close(before: np.ndarray | None, after: np.ndarray | None, within: float) -> bool:
    """Whether two arrays of numbers are equal up to a share of their largest number."""
    if before is None or after is None or before.dtype.kind != "f" or before.dtype != after.dtype:
        return False
    if before.shape != after.shape or (np.isfinite(before) != np.isfinite(after)).any():
        return False
    finite = np.isfinite(before)
    error, size = np.abs(before - after)[finite], np.abs(before[finite])
    return bool((error <= within * size.max(initial=0.0)).all())


def compare(frozen: dict[str, np.ndarray], now: dict[str, np.ndarray], within: float = 0.0) -> int:
    """Print what differs, by the first two parts of its name, and return how many arrays do.

    Args:
        frozen: The arrays as they were.
        now: The arrays as they are.
        within: Differences up to this share of an array's largest number are only counted.
    """
    names = [*frozen, *(name for name in now if name not in frozen)]
    found: dict[str, list[str]] = {}
    close = 0
    for name in names:
        if words := difference(frozen.get(name), now.get(name)):
            if is_close(frozen.get(name), now.get(name), within):
                close += 1
                continue
            prefix = "/".join(name.split("/")[:2])
            found.setdefault(prefix, []).append(f"  {name}: {words}")
    totals = Counter("/".join(name.split("/")[:2]) for name in names)
    for prefix, lines in found.items():
        print(f"{prefix}: {len(lines)} of {totals[prefix]} differ", *lines, sep="\n")
    count = sum(map(len, found.values()))
    if close:
        print(f"{close} arrays differ by at most {within:g} of their largest number")
    print(f"{count} of {len(names)} arrays differ" + (" by more" if within else ""))
    return count


def main() -> int:
    """Freeze the corpus, or compare with a frozen one."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus")
    parser.add_argument("action", choices=["freeze", "compare"])
    parser.add_argument("file", help="where the frozen corpus is, an .npz")
    parser.add_argument("--within", type=float, default=0.0, help="relative, for compare")
    options = parser.parse_args()
    if options.action == "compare":
        with np.load(options.file) as file:
            frozen = {name: file[name] for name in file.files}
        return int(compare(frozen, corpus(), options.within) > 0)
    result = corpus()
    np.savez(options.file, **result)
    print(f"{len(result)} arrays in {options.file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
