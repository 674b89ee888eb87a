"""`Recipe`: everything that a sample follows from, but the network and the seed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import numpy as np

from schedalg.arrays import Array, namespace
from schedalg.bulk.keywords import Keywords, keywords_of
from schedalg.bulk.options import (
    Interval,
    bounds_of,
    checked_clip,
    checked_interval,
    checked_path,
    checked_shape,
    read_clip,
    read_prediction,
    read_tuple,
    written_clip,
    written_prediction,
)
from schedalg.bulk.seeds import checked_seeds
from schedalg.checks import (
    check_callable,
    check_sample,
    check_version,
    flag,
    parsed_json,
    real_number,
    shown,
)
from schedalg.network.bounds import DynamicThreshold
from schedalg.network.denoiser import AnyDenoiser, Denoiser
from schedalg.network.guidance import ClassifierFreeGuidance
from schedalg.network.model import Model
from schedalg.network.switching import switch
from schedalg.parameterization import Parameterization, Prediction, parameterization
from schedalg.plan.plan import Plan
from schedalg.plotting.markup import block, code, facts
from schedalg.running.initial_noise import initial_noise
from schedalg.running.plans import plan_of
from schedalg.running.sampling import sample
from schedalg.samplers.protocols import Sampler
from schedalg.samplers.serialization import named_classes, value_from_dict, value_to_dict
from schedalg.schedule import Schedule

DTYPES = ("float16", "bfloat16", "float32", "float64")

#: How noise follows from a seed; another way would be another name.
NOISE = "philox4x64-10, keyed by noise level"


@dataclass(frozen=True, eq=False, kw_only=True)
class Recipe:
    """Everything that determines a sample, except the network and the seed, as a value.

    A recipe is written to JSON and read back without loss. Two recipes are equal if their JSON is,
    and `fingerprint` is its SHA-256. With the recipe and the network, a sample is a function of its
    seed, which determines its start (`initial_noise`) and the noise of its steps.

    Args:
        schedule: The path. Not needed with `plan`.
        sampler: A sampler of this library, or a frozen dataclass of numbers, strings, tuples,
            schedules and such samplers. Not with `plan`.
        plan: A plan, in place of a schedule and a sampler.
        shape: The shape of one sample, without the batch: (3, 32, 32).
        dtype: "float16", "bfloat16", "float32" or "float64".
        prediction: What the network's output means: a name as `sample` takes it, or `edm(...)`.
            None: "flow" on schedules of flow networks, and "epsilon" on all others.
        clip: (low, high), between which each x0 prediction is clamped; or `DynamicThreshold(...)`.
        guidance_scale: The scale of `ClassifierFreeGuidance`; None: the network is called alone.
        guidance_interval: (quantity, low, high): the noise levels where guidance is used, by
            "sigma", "t", "timestep" or "log_snr" as `switch` bounds them. Elsewhere the network is
            called with its condition alone. A bound of None is open.

    Raises:
        TypeError: An argument is of the wrong type, or is not a value that JSON can hold.
        ValueError: An argument has a wrong value; there is neither a plan nor a schedule with a
            sampler, or there are both; or the sampler has no plan for the schedule.

    Example:
        >>> from schedalg import DDIM, Recipe, Schedule
        >>> fast = Schedule.linear(1000).subsample(steps=5)
        >>> recipe = Recipe(schedule=fast, sampler=DDIM(), shape=(2,), prediction="x0")
        >>> Recipe.from_json(recipe.to_json()) == recipe
        True
        >>> recipe.sample(lambda x, timesteps: 0 * x + 0.5, [7, 8])
        array([[0.5, 0.5],
               [0.5, 0.5]], dtype=float32)
    """

    schedule: Schedule = None  # type: ignore[assignment]  # where there is a plan, its own
    sampler: Sampler | None = None
    plan: Plan | None = None
    shape: tuple[int, ...]
    dtype: str = "float32"
    prediction: Prediction | Parameterization | None = None
    clip: tuple[float, float] | DynamicThreshold | None = None
    guidance_scale: float | None = None
    guidance_interval: Interval | None = None
    _text: str = field(init=False, repr=False, default="")

    def __post_init__(self) -> None:
        set_to = partial(object.__setattr__, self)
        set_to("schedule", checked_path(self.schedule, self.sampler, self.plan))
        set_to("shape", checked_shape(self.shape))
        if not isinstance(self.dtype, str) or self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {shown(self.dtype)}")
        if self.prediction is not None:
            parameterization(self.prediction)
        set_to("clip", checked_clip(self.clip))
        if self.guidance_scale is not None:
            set_to("guidance_scale", real_number("guidance_scale", self.guidance_scale))
        set_to(
            "guidance_interval",
            checked_interval(self.guidance_interval, self.guidance_scale, self.schedule),
        )
        set_to("_text", _canonical(self.to_dict()))

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Recipe) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the recipe's JSON with sorted keys and no spaces, in hexadecimal."""
        return hashlib.sha256(self._text.encode()).hexdigest()

    @property
    def model_calls(self) -> int | None:
        """How often the network is called for a sample; None for a sampler without a plan.

        With guidance, a call is of a batch that holds each sample twice.
        """
        plan = self._plan()
        return None if plan is None else plan.model_calls

    def _plan(self) -> Plan | None:
        return plan_of(self.schedule, self.sampler if self.plan is None else self.plan)

    def sample(
        self,
        model: Model | AnyDenoiser,
        seeds: Sequence[int],
        *,
        like: Array | None = None,
        cond: Keywords | None = None,
        uncond: Keywords | None = None,
        check_finite: bool = False,
    ) -> Array:
        """Return the samples of these seeds.

        Args:
            model: The network, as `sample` takes it.
            seeds: A seed for each sample: integers from 0 to 2^128 - 1.
            like: An array whose library and device the samples have, such as one of the network's
                weights. None: NumPy.
            cond: Keywords of the network: a mapping, or a function of the list of seeds that
                returns one, such as the labels of these samples.
            uncond: The same keywords without the condition, for guidance.
            check_finite: Raise if the network returns NaN or infinity.

        Returns:
            `(B, *shape)`, in the recipe's dtype.

        Raises:
            TypeError: As `sample`; or the seeds are not integers.
            ValueError: As `sample`; a seed is out of range; the library has no such dtype; or
                `uncond` is given without guidance, or guidance without `uncond`.

        Example:
            >>> import numpy as np
            >>> from schedalg import DDPM, Recipe, Schedule
            >>> s = Schedule.linear(1000).subsample(steps=5)
            >>> recipe = Recipe(schedule=s, sampler=DDPM(), shape=(2,), dtype="float64")
            >>> model = lambda x, timesteps: np.tanh(x)
            >>> batch = recipe.sample(model, [3, 4, 5])
            >>> bool((recipe.sample(model, [4]) == batch[1:2]).all())
            True
        """
        chosen = list(checked_seeds(seeds))
        network, options = self._network(model, chosen, cond, uncond)
        x = initial_noise(self.schedule, (len(chosen), *self.shape), chosen, like=self._like(like))
        return sample(
            network,
            self.schedule,
            self.sampler if self.plan is None else self.plan,  # type: ignore[arg-type]
            x,
            noise=chosen,
            check_finite=flag("check_finite", check_finite),
            **options,
        )

    def _like(self, like: Array | None) -> Array:
        """Return an array of the library and the device of `like`, in the recipe's dtype."""
        if like is None:
            like = np.empty(0)
        check_sample("like", like)
        xp = namespace(like)
        dtype = getattr(xp, self.dtype, None)
        result = None if dtype is None else xp.astype(like[:0, ...], dtype)
        if result is None or result.dtype != dtype:
            raise ValueError(
                f"dtype of the recipe is {self.dtype}, which the library of like does not have: "
                "pass like=, an array of a library that does"
            )
        return result

    def _network(
        self,
        model: Model | AnyDenoiser,
        seeds: list[int],
        cond: Keywords | None,
        uncond: Keywords | None,
    ) -> tuple[Any, dict[str, Any]]:
        """Return what `sample` takes as the network, and the keywords that go with it."""
        given = keywords_of("cond", cond, seeds)
        if self.guidance_scale is None:
            if uncond is not None:
                raise ValueError("uncond is for guidance, and the recipe has no guidance_scale")
            return model, {"prediction": self.prediction, "clip": self.clip, **given}
        if uncond is None:
            raise ValueError(
                f"uncond must be given: the recipe has guidance_scale={self.guidance_scale}, which "
                "needs the network's keywords without the condition"
            )
        check_callable("model", model)
        if isinstance(model, AnyDenoiser):
            raise TypeError("model must be a network, not a denoiser, in a recipe with guidance")
        other = keywords_of("uncond", uncond, seeds)
        guided = ClassifierFreeGuidance(model, self.guidance_scale, given, other)
        if self.guidance_interval is None:
            return guided, {"prediction": self.prediction, "clip": self.clip}
        inside = Denoiser(guided, self.schedule, self.prediction, clip=self.clip)
        outside = Denoiser(
            model, self.schedule, self.prediction, clip=self.clip, model_kwargs=given
        )
        return switch(inside, outside, **bounds_of(self.guidance_interval)), {}

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as numbers, strings and lists that JSON holds without loss.

        Example:
            >>> from schedalg import DDIM, Recipe, Schedule
            >>> recipe = Recipe(schedule=Schedule.linear(2), sampler=DDIM(), shape=(2,))
            >>> Recipe.from_dict(recipe.to_dict()) == recipe
            True
        """
        interval = self.guidance_interval
        return {
            "type": "schedalg.Recipe",
            "version": 1,
            "schedule": None if self.plan is not None else self.schedule.to_dict(),
            "sampler": None if self.plan is not None else value_to_dict("sampler", self.sampler),
            "plan": None if self.plan is None else self.plan.to_dict(),
            "shape": list(self.shape),
            "dtype": self.dtype,
            "prediction": written_prediction(self.prediction),
            "clip": written_clip(self.clip),
            "guidance_scale": self.guidance_scale,
            "guidance_interval": None if interval is None else list(interval),
            "noise": NOISE,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], samplers: Sequence[type[Any]] = ()) -> "Recipe":
        """Return the recipe that `to_dict` wrote, or that of a folder's `recipe.json`.

        Args:
            data: What `to_dict` returned; or what `generate` wrote, which holds a recipe.
            samplers: Classes of samplers of one's own, which the data may name.

        Raises:
            TypeError: `data` is not a mapping, or holds something of the wrong type.
            ValueError: `data` is not what `to_dict` returns, is of a later version, or names an
                unknown sampler.
        """
        own = named_classes("samplers", samplers)
        if not isinstance(data, Mapping):
            raise TypeError(f"data must be a mapping, got {shown(data)}")
        if data.get("type") == "schedalg.Samples" and isinstance(data.get("recipe"), Mapping):
            data = data["recipe"]
        check_version("data", data, "schedalg.Recipe", 1)
        names = [each.name for each in fields(cls) if each.init]
        if missing := [key for key in (*names, "noise") if key not in data]:
            raise ValueError(f"data lacks {missing}")
        if strange := [key for key in data if key not in {*names, "noise", "type", "version"}]:
            raise ValueError(f"data holds {strange}, which a recipe of version 1 does not have")
        if data["noise"] != NOISE:
            raise ValueError(
                f"data has the noise {shown(data['noise'])}, and this schedalg draws only {NOISE!r}"
            )
        plan, schedule, sampler = (data[key] for key in ("plan", "schedule", "sampler"))
        return cls(
            schedule=None if schedule is None else Schedule.from_dict(schedule),  # type: ignore[arg-type]
            sampler=None if sampler is None else value_from_dict("sampler", sampler, own),
            plan=None if plan is None else Plan.from_dict(plan),
            shape=read_tuple(data["shape"]),
            dtype=data["dtype"],
            prediction=read_prediction(data["prediction"]),
            clip=read_clip(data["clip"]),
            guidance_scale=data["guidance_scale"],
            guidance_interval=read_tuple(data["guidance_interval"]),
        )

    def _repr_html_(self) -> str:
        path = "schedule" if self.plan is None else "plan"
        names = [each.name for each in fields(self) if each.init]
        given = {name: getattr(self, name) for name in names if name not in ("schedule", "plan")}
        rows = [(name, code(repr(value))) for name, value in given.items() if value is not None]
        calls = self.model_calls
        rows.append(("model calls", code("not a fixed number" if calls is None else str(calls))))
        rows.append((path, getattr(self, path)._repr_html_()))
        return block(code(f"Recipe {self.fingerprint}"), facts(rows))

    def to_json(self) -> str:
        """Return `to_dict` as JSON, with sorted keys, and a line for each of them.

        Example:
            >>> from schedalg import DDIM, Recipe, Schedule
            >>> recipe = Recipe(schedule=Schedule.linear(2), sampler=DDIM(), shape=(2,))
            >>> Recipe.from_json(recipe.to_json()).fingerprint == recipe.fingerprint
            True
        """
        return lines_of(self.to_dict())

    @classmethod
    def from_json(cls, text: str, samplers: Sequence[type[Any]] = ()) -> "Recipe":
        """Return the recipe of `to_json`; see `from_dict`.

        Raises:
            TypeError: `text` is not a string, or holds something of the wrong type.
            ValueError: `text` is not JSON, or not that of a recipe.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a string of JSON, got {shown(text)}")
        try:
            data = parsed_json(text)
        except ValueError as error:
            raise ValueError(f"text is not JSON: {error}") from None
        except RecursionError:
            raise ValueError("text is not the JSON of a recipe: it is nested too deeply") from None
        if not isinstance(data, dict):
            raise ValueError(f"text must be the JSON of a recipe, an object; got {shown(data)}")
        return cls.from_dict(data, samplers)


def lines_of(data: Mapping[str, Any]) -> str:
    """Return JSON with a line for each key, whose values are one line each."""
    lines = [f"  {json.dumps(key)}: {_canonical(data[key])}" for key in sorted(data)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
