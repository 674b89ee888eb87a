"""Every public callable with every argument replaced by what it may not be.

The callables are found from the `__all__` of the public modules: functions, constructors, and the
methods of the objects below. Each is called with good arguments, of which one at a time is taken
from `HOSTILE`. It returns, or raises a ValueError, TypeError, IndexError or ImportError of this
library's own that names an argument.
"""

import enum
import functools
import importlib.util
import inspect
import os
import pkgutil
import random
import re
import tempfile
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import schedalg
from schedalg import (
    DDIM,
    Denoiser,
    DynamicThreshold,
    FrameRun,
    Plan,
    Pool,
    Recipe,
    Schedule,
    Steps,
    Tableau,
    TimestepRemap,
    Trajectories,
    begin,
    edm,
    frames,
    sampler_to_dict,
)
from schedalg.checks import shown
from schedalg.plan.columns import schedule_evaluations

#: How many calls of each are made with several wrong arguments; three times as many in CI.
PAIRS = 40

#: What may be raised, and where from.
NAMED = (ValueError, TypeError, IndexError, ImportError)
OWN = (str(Path(schedalg.__file__).parent), "schedalg_torch")

LINEAR = Schedule.linear(4)
X = np.ones((2, 3))


def network(x: Any, timesteps: Any, **kwargs: Any) -> Any:
    return 0.1 * x


def make_pool() -> Pool:
    pool = Pool(network, (3,), 10**6)
    pool.add(DDIM().plan(LINEAR), x=X[0])
    return pool


def stopped(*args: Any, **kwargs: Any) -> Any:
    return next(iter(()))


def cyclic() -> list[Any]:
    values: list[Any] = []
    values.append(values)
    return values


class Odd:
    """An object that is nothing."""

    def __repr__(self) -> str:
        return "Odd()"


RECIPE = Recipe(schedule=LINEAR, sampler=DDIM(), shape=(3,))
#: A folder of samples, made once.
FOLDER = tempfile.TemporaryDirectory()
schedalg.generate(RECIPE, network, range(3), FOLDER.name, batch_size=2)


#: Good values, by the names of arguments. An argument with a default and no value here keeps it.
GOOD: dict[str, Any] = {
    "n": 4,
    "beta_start": 1e-4,
    "betas": [0.1, 0.2],
    "alphas_cumprod": [0.9, 0.5],
    "alpha_bar": lambda t: 1 - 0.9 * t,
    "sigmas": [0.1, 1.0],
    "log_snr": [2.0, -2.0],
    "times": [0.5, 1.0],
    "schedule": LINEAR,
    "other": LINEAR,
    "factor": 2.0,
    "data": LINEAR.to_dict(),
    "t": 1.5,
    "k": 1,
    "x": X,
    "x0": X,
    "noise": 3,
    "model": network,
    "sampler": DDIM(),
    "plan": DDIM().plan(LINEAR),
    "denoiser": Denoiser(network, LINEAR),
    "output": X,
    "point": LINEAR[1],
    "source": "epsilon",
    "target": "v",
    "known": X,
    "mask": X,
    "a": np.ones(4),
    "b": np.ones(4),
    "A": [[]],
    "order": 1,
    "tableau": Tableau([[]], [1.0], 1),
    "stretches": [(0, 2, 1)],
    "jump_length": 1,
    "steps": 2,
    "name": "linear",
    "c_x": lambda alpha, sigma: 1.0,
    "c_out": lambda alpha, sigma: -sigma,
    "alpha": 0.8,
    "sigma": 0.6,
    "evaluations": schedule_evaluations(LINEAR),
    "key": 1,
    "function": lambda x, t, *inner: x,
    "inside": Denoiser(network, LINEAR),
    "outside": Denoiser(network, LINEAR),
    "gradient": lambda x, timesteps: x,
    "scale": 2.0,
    "cond": {"c": X},
    "uncond": {"c": X},
    "alpha_t": 0.9,
    "check": lambda output, timestep: None,
    "timesteps": np.array([1, 1]),
    "scheduler": {"_class_name": "DDIMScheduler"},
    "orders": (DDIM(), DDIM()),
    "num_timesteps": 10,
    "num_diffusion_timesteps": 20,
    "section_counts": "5",
    "schedule_name": "linear",
    "use_timesteps": {0, 1},
    "errors": [0.1, 0.2, 0.3, 0.4],
    "losses": [0.4, 0.3, 0.2, 0.1],
    "prediction": "epsilon",
    "cost": np.ones((4, 4)),
    "predictions": np.ones((4, 2, 3)),
    "lengths": [0.0, 1.0, 1.0, 1.0],
    "objective": lambda schedule: float(schedule.to_log_snr()[1] ** 2),
    "variances": [0.5, 1.0],
    "shape": (2, 3),
    "seeds": 3,
    "beta_schedule": "linear",
    "beta_end": 0.02,
    "offsets": [0, 1, 2],
    "matrix": frames(DDIM().plan(LINEAR), [0, 1, 2]),
    "state": begin(DDIM().plan(LINEAR), X).state(),
    "capacity": 10**6,
    "text": RECIPE.to_json(),
    "recipe": RECIPE,
    "out": FOLDER.name,
    "batch_size": 2,
    "recipes": {"a": RECIPE},
    "measure": lambda samples, seeds: 1.0,
    "states": [X] * 5,
    "images": np.zeros((2, 3, 3)),
    "schedules": {"a": LINEAR},
    "denoise": Denoiser(network, LINEAR),
    "teacher": DDIM().plan(LINEAR),
    "row": 1,
    "after": X,
    "trajectories": Trajectories(LINEAR, [np.ones((8, 3))] * 5, Denoiser(network, LINEAR)),
}
#: And of what has another meaning under the same name.
OTHERWISE: dict[tuple[str, str], Any] = {
    ("Schedule.subsample", "steps"): 2,
    ("Schedule.add_noise", "noise"): X,
    ("Schedule.target", "noise"): X,
    ("Tableau", "b"): [1.0],
    ("Denoiser.__call__", "t"): LINEAR[1],
    ("Denoiser.predict", "t"): LINEAR[1],
    ("network_errors", "data"): X,
    ("plot_trajectories", "states"): [X[:, :2]] * 5,
    ("Schedule.trajectory_costs", "states"): np.ones((4, 2, 3)),
    ("Pool.add", "seed"): 3,
    ("Pool.advance", "output"): X[:1],
    ("Pool.cancel", "ticket"): 1,
    ("score_lengths", "data"): X,
    ("Plan.from_dict", "data"): DDIM().plan(LINEAR).to_dict(),
    ("Recipe", "schedule"): LINEAR,
    ("Recipe", "sampler"): DDIM(),
    ("Recipe.from_dict", "data"): RECIPE.to_dict(),
    ("Recipe.sample", "seeds"): [3, 4],
    ("generate", "seeds"): range(3),
    ("sweep", "seeds"): range(3),
    ("sweep", "out"): "table.csv",
    ("sampler_from_dict", "data"): sampler_to_dict(DDIM()),
    ("TimestepRemap.__call__", "k"): np.array([0, 1]),
    ("Denoiser.output", "timesteps"): np.array([1, 1]),
    ("ClippedDDIM", "clip"): (-1, 1),
    ("FrameRun.resume", "state"): FrameRun(GOOD["plan"], X, GOOD["matrix"]).state(),
    ("from_sigmas", "sigmas"): [10.0, 1.0, 0.0],
    ("transition", "plan"): schedalg.DDPM().plan(LINEAR),
    ("log_prob", "plan"): schedalg.DDPM().plan(LINEAR),
    ("log_likelihood", "divergence"): lambda x, t: (
        x.sum(tuple(range(1, x.ndim))) if x.ndim > 1 else x
    ),
    ("parse_schedule", "text"): "linear(4)",
    ("parse_sampler", "text"): "DDIM()",
}
TORCH = importlib.util.find_spec("torch") is not None
if TORCH:
    import torch

    from schedalg.interop import diffusers, guided_diffusion

    T = torch.ones(2, 3)
    GOOD["model_mean_type"] = guided_diffusion.ModelMeanType.EPSILON
    GOOD["model_var_type"] = guided_diffusion.ModelVarType.FIXED_SMALL
    GOOD["loss_type"] = guided_diffusion.LossType.MSE

    def make_process() -> Any:
        kinds = {name: GOOD[name] for name in ("model_mean_type", "model_var_type", "loss_type")}
        return guided_diffusion.GaussianDiffusion(betas=[0.1, 0.2, 0.3, 0.4], **kinds)

    def make_scheduler() -> Any:
        scheduler = diffusers.to_diffusers(LINEAR, DDIM())
        scheduler.set_timesteps(2)
        return scheduler

    for method in [each for each in dir(guided_diffusion.GaussianDiffusion) if each[0] != "_"]:
        for name, value in {
            **dict.fromkeys(("x", "x0", "x_start", "x_t", "noise", "output"), T),
            "t": torch.tensor([1, 1]),
            "cond_fn": lambda x, t, **kwargs: x,
            "p_mean_var": dict.fromkeys(("mean", "variance", "pred_xstart"), T),
        }.items():
            OTHERWISE[f"GaussianDiffusion.{method}", name] = value
    for method in ("scale_model_input", "step", "add_noise", "scale_noise"):
        for name in ("sample", "model_output", "original_samples", "noise"):
            OTHERWISE[f"DiffusersScheduler.{method}", name] = T
        OTHERWISE[f"DiffusersScheduler.{method}", "timestep"] = 2
        OTHERWISE[f"DiffusersScheduler.{method}", "timesteps"] = torch.tensor([2])
    OTHERWISE["DiffusersScheduler.scale_noise", "timestep"] = torch.tensor([2])
    OTHERWISE["DiffusersScheduler.set_timesteps", "num_inference_steps"] = 2
#: Classes that are for what made them alone and check nothing, and what loops call in every step.
UNCHECKED = {"Schedule", "Plan", "Point", "Run", "Steps", "Imported", "DiffusersScheduler"}
UNCHECKED |= {"Sweep", "Verification"}
UNCHECKED |= {
    "mean_flat",
    "_extract_into_tensor",
    "check_schedule",
    "Denoiser.output",
    "Denoiser.bounded",
    "Denoiser.checked_by",
    "Run.bounded",
    "Run.take",
}
if importlib.util.find_spec("scipy") is None:
    UNCHECKED.add("minimize")
if importlib.util.find_spec("matplotlib") is None:
    UNCHECKED |= {"plot_samples", "plot_schedules", "plot_trajectories"}
    UNCHECKED |= {"Schedule.plot", "Plan.plot"}
#: What errors call arguments by other names.
KNOWN_AS = {
    "model": ("denoiser", "denoisers"),
    "key": ("index",),
    "beta_start": ("betas",),
    "beta_end": ("betas", "step"),
    "scheduler": ("_class_name",),
}
#: What makes the objects whose methods are called, one for each call.
OBJECTS: list[Callable[[], Any]] = [
    lambda: LINEAR,
    lambda: DDIM().plan(LINEAR),
    lambda: GOOD["denoiser"],
    lambda: TimestepRemap(network, LINEAR),
    DynamicThreshold,
    lambda: begin(DDIM().plan(LINEAR), X),
    lambda: schedalg.ClassifierFreeGuidance(network, scale=2.0, cond={}, uncond={}),
    DDIM,
    schedalg.DDPM,
    edm,
    make_pool,
    lambda: RECIPE,
]
if TORCH:
    OBJECTS += [make_process, make_scheduler]


def hostile() -> list[Any]:
    """Return what arguments are replaced by, made anew for every use of it."""
    record = np.zeros(2, dtype=[("a", float)])
    values: list[Any] = [
        None, True, False, 0, 1, -1, 2, 0.5, -0.5, np.nan, np.inf, -np.inf, 1e300, 1e-320, 1j,
        10**9, 2**63, 2**64 - 1, -(2**63), 10**400, "", "no", "False", "ddim2", "9" * 5000, b"x",
        [], (), {}, set(), [[]], [1, "a"], [1, [2]], [None], [np.nan], [10**400], [True, 1],
        ["inf"], (1, 2, 3), cyclic(), range(3), iter([1]), Odd(), Odd, int, np, stopped,
        lambda *args, **kwargs: None, lambda *args, **kwargs: X[:1], {"a": 1}, {1: 2},
        np.float64(0.5), np.int8(1), np.array(1.0), np.array([]), np.ones(3), np.ones((2, 2)),
        X.astype(np.float32), X.astype(complex), X.astype(int), X * np.nan, X > 0,
        np.array(["a"]), np.array([None]), record, np.array(["2020"], dtype="datetime64[D]"),
        np.ma.array([1.0, 2.0], mask=[0, 1]), np.ones(3, dtype=">f8"), np.ones((2, 0)),
        LINEAR, Schedule.karras(4), Schedule.flow(4), LINEAR[:0], LINEAR[1], DDIM(), DDIM,
        DDIM().plan(LINEAR), DDIM().plan(LINEAR[:2]), Denoiser(network, LINEAR[:2]), edm(),
        Steps.of(LINEAR), np.random.default_rng(0), slice(None), Ellipsis, NotImplemented,
    ]  # fmt: skip
    return [*values, *hostile_tensors()]


def hostile_tensors() -> list[Any]:
    try:
        import torch
    except ImportError:
        return []
    empty = torch.ones(2, 3)
    empty.untyped_storage().resize_(0)
    return [
        torch.tensor(1.0), torch.tensor([0.5, 1.0]), torch.ones(2, 3), torch.ones(2, 3).bfloat16(),
        torch.ones(2, 3, dtype=torch.complex64), torch.ones(2, 3, requires_grad=True), empty,
        torch.ones(2, 3, device="meta"), torch.ones(2, 3).to_sparse(), torch.ones(2, 0),
        torch.tensor([1, 0]), torch.tensor([True, False]), torch.float32, torch.Generator(),
        torch.ones(3).to(torch.float8_e5m2), torch.tensor(2.0, requires_grad=True),
        torch.tensor([0.5 + 1j, 1 - 1j]).conj().imag,
    ]  # fmt: skip


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield every public callable once, by name."""
    seen = set()
    modules = [info.name for info in pkgutil.walk_packages(schedalg.__path__, "schedalg.")]
    for place in ("schedalg", *modules):
        if place.startswith("schedalg.testing"):  # whose checks fail by AssertionError
            continue
        if place.startswith("schedalg.checks"):  # which public functions call, on what they know
            continue
        if place.startswith("schedalg.interop.guided_diffusion") and not TORCH:
            continue  # it computes with torch
        try:
            module = importlib.import_module(place)
        except ImportError:  # of a library that is not installed
            continue
        for name in getattr(module, "__all__", ()):
            found = getattr(module, name)
            own = getattr(found, "__module__", "").startswith("schedalg")
            if own and callable(found) and found not in seen and not is_passive(found):
                seen.add(found)
                yield name, found
    for name in schedalg.__all__:
        found = getattr(schedalg, name)
        if isinstance(found, type):
            for method, each in methods(found, static=True):
                yield f"{name}.{method}", each
    for make in OBJECTS:
        for method, each in methods(made := make(), static=False):
            yield f"{type(made).__name__}.{method}", on_new(make, method, each)


def on_new(make: Callable[[], Any], method: str, like: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls a method of a new object: calls may change what it is of."""

    @functools.wraps(like)
    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(make(), method)(*args, **kwargs)

    return call


def is_passive(value: Any) -> bool:
    """Whether it is a protocol, an enumeration or a record, or one of `UNCHECKED`."""
    if not isinstance(value, type):
        return isinstance(value, types.ModuleType | types.UnionType)
    passive = issubclass(value, tuple | enum.Enum) or getattr(value, "_is_protocol", False)
    return passive or value.__name__ in UNCHECKED


def methods(of: Any, *, static: bool) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield public methods: of a class those that need no object, of an object the others."""
    kind = of if static else type(of)
    for name in dir(kind):
        if name.startswith("_") and name not in ("__call__", "__getitem__"):
            continue
        raw = inspect.getattr_static(kind, name)
        if isinstance(raw, classmethod | staticmethod) == static and (
            static or inspect.isfunction(raw)
        ):
            yield name, getattr(of, name)


CALLABLES = {name: call for name, call in public() if name not in UNCHECKED}


def arguments(name: str, call: Callable[..., Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the names of all arguments, and good values of those that need one."""
    names, good = [], {}
    for parameter in inspect.signature(call).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        names.append(parameter.name)
        if (name, parameter.name) in OTHERWISE:
            good[parameter.name] = OTHERWISE[name, parameter.name]
        elif parameter.default is parameter.empty:
            assert parameter.name in GOOD, f"{name} needs a good value for {parameter.name}"
            good[parameter.name] = GOOD[parameter.name]
    return names, good


def fault(error: BaseException, names: list[str]) -> str | None:
    """Return what is wrong with an error; None if it is one of the library's own that names."""
    if isinstance(error, OSError) and {"scheduler", "out"} & set(names):
        return None  # of the file that it is read from, or written to
    if not isinstance(error, NAMED):
        return "an error of this type"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if not any(own in frame.filename for own in OWN):
        return f"an error that was not raised here, in {frame.filename}:{frame.lineno}"
    known_as = [each for name in names for each in (name, *KNOWN_AS.get(name, ()))]
    if not any(re.search(rf"\b{name}\b", str(error)) for name in known_as):
        return "an error that names no argument"
    return None


def is_user_code(value: Any) -> bool:
    """Whether a hostile value is called, and so may raise what it likes."""
    return callable(value) and not isinstance(value, type)


def called(call: Callable[..., Any], given: dict[str, Any]) -> None:
    """Call it, and look at what it returns as a user would."""
    by_place = {p.name for p in inspect.signature(call).parameters.values() if p.kind == 0}
    result = call(*[given.pop(n) for n in list(given) if n in by_place], **given)
    if isinstance(result, Iterator):
        for _ in zip(range(10), result, strict=False):
            pass
    if isinstance(result, Schedule | Plan):
        repr(result)


def check(name: str, replaced: Iterator[dict[str, Any]], *, called_code: bool = True) -> None:
    """Check the errors of calls with some arguments replaced.

    Args:
        name: What is called.
        replaced: The arguments of each call.
        called_code: Whether arguments that can be called may raise what they like.
    """
    call = CALLABLES[name]
    names, good = arguments(name, call)
    wrong = []
    for given in replaced:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                called(call, {**good, **given})
            except BaseException as error:
                if (
                    called_code
                    and isinstance(error, NAMED)
                    and any(map(is_user_code, given.values()))
                ):
                    continue  # it says itself what it was not called with
                if (said := fault(error, names)) is not None:
                    how = ", ".join(f"{key}={shown(value)}" for key, value in given.items())
                    wrong.append(f"{how}: {said}: {error!r:.200}")
    assert not wrong, f"{len(wrong)} faults:\n" + "\n".join(wrong)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have relative paths lie in a folder that is removed."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", CALLABLES)
def test_good_arguments_are_good(name: str) -> None:
    called(CALLABLES[name], arguments(name, CALLABLES[name])[1])


@pytest.mark.parametrize("name", CALLABLES)
def test_of_one_wrong_argument_only_named_errors_come_out(name: str) -> None:
    names, _ = arguments(name, CALLABLES[name])
    check(name, ({argument: value} for argument in names for value in hostile()))


@pytest.mark.parametrize("name", CALLABLES)
def test_of_several_wrong_arguments_only_named_errors_come_out(name: str) -> None:
    names, _ = arguments(name, CALLABLES[name])
    chosen = random.Random(name)

    def several() -> Iterator[dict[str, Any]]:
        for _ in range(3 * PAIRS if os.environ.get("CI") else PAIRS):
            replaced = chosen.sample(names, chosen.randint(2, len(names)))
            values = hostile()
            yield {argument: chosen.choice(values) for argument in replaced}

    if len(names) > 1:
        check(name, several())


class Returning:
    """A function that returns what it was given."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def __call__(self, *arguments: Any) -> Any:
        return self.result


class Stepping:
    """A sampler without a plan, which returns what it was given."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def init(self, x: Any, schedule: Any) -> None: ...

    def step(self, *arguments: Any) -> Any:
        return self.result


class Planned:
    """A sampler whose plan is what it was given."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def plan(self, schedule: Any) -> Any:
        return self.result


@pytest.mark.parametrize("part", ["alpha_bar", "timesteps"])
def test_of_what_functions_of_constructors_return_only_named_errors_come_out(part: str) -> None:
    name = "Schedule.from_alpha_bar"
    check(name, ({part: Returning(value)} for value in hostile()), called_code=False)


#: Calls of `sample` in which the user's part returns a value, and what an error calls that part.
RETURNED: dict[str, tuple[Callable[[Any], dict[str, Any]], list[str]]] = {
    "model": (lambda value: {"model": lambda x, timesteps: value}, ["model"]),
    "clip": (lambda value: {"clip": lambda x0: value}, ["clip"]),
    "noise": (lambda value: {"noise": lambda x: value}, ["noise"]),
    "step": (lambda value: {"sampler": Stepping(value)}, ["sampler"]),
    "x of a step": (lambda value: {"sampler": Stepping((value, None))}, ["sampler"]),
    "plan": (lambda value: {"sampler": Planned(value)}, ["sampler", "plan"]),
    "c_x": (
        lambda value: {"prediction": schedalg.Parameterization(lambda a, s: value, lambda a, s: 1)},
        ["c_x", "prediction", "parameterization"],
    ),
    "denoiser": (
        lambda value: {"model": Denoiser.from_function(lambda x, t: value, LINEAR)},
        ["denoiser"],
    ),
}


@pytest.mark.parametrize("part", RETURNED)
def test_of_what_users_parts_return_only_named_errors_come_out(part: str) -> None:
    given, names = RETURNED[part]
    samples = [X]
    if importlib.util.find_spec("torch"):
        samples.append(importlib.import_module("torch").tensor(X, dtype=None))
    wrong = []
    for x in samples:
        good = {"model": network, "schedule": LINEAR, "sampler": schedalg.DDPM(), "x": x}
        for value in hostile():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    schedalg.sample(**{**good, **given(value)})
                except BaseException as error:
                    if (said := fault(error, names)) is not None:
                        wrong.append(f"{shown(value)}: {said}: {error!r:.200}")
    assert not wrong, f"{len(wrong)} faults:\n" + "\n".join(wrong)
