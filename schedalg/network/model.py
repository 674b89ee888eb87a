"""How a network is called, and how what it returns is checked and read."""

import re
from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Any, NamedTuple, TypeAlias

from schedalg.arrays import Array, is_array, is_real_floating, known, type_name
from schedalg.checks import check_like, check_memory, is_like

#: A network: `model(x, timesteps, **kwargs)` with x (B, ...) and timesteps (B,). It returns an
#: array like x, and must not write to x.
Model: TypeAlias = Callable[..., Array]


def called(model: Model, x: Array, timesteps: Array, keywords: Mapping[str, Any]) -> Any:
    """Return `model(x, timesteps, **keywords)`, with a hint in the errors that mistakes end in.

    Raises:
        ValueError: The output is of the dtype of a keyword, and x is not.
        Exception: What the network raises, with a note where the call may be the cause.
    """
    try:
        output = model(x, timesteps, **keywords)
    except Exception as error:
        for hint in (
            *_hints(str(error), x, timesteps, keywords),
            *_hint_of_signature(model, x, timesteps, keywords),
        ):
            error.add_note(hint)
        raise
    if keywords and is_array(output) and output.dtype != x.dtype:
        others = _of_another_dtype(x, keywords)
        if named := [name for name, dtype in others.items() if dtype == output.dtype]:
            raise ValueError(
                f"model output has dtype {output.dtype}, and x has {x.dtype}. The keyword "
                f"{named[0]!r} is {output.dtype} too: convert it to x's dtype"
            )
    return output


def _hints(message: str, x: Array, timesteps: Array, keywords: Mapping[str, Any]) -> Iterator[str]:
    if is_real_floating(timesteps) and re.search(r"ind(ic|ex)|integer", message):
        yield (
            "The network was given fractional timesteps. If it looks them up in a table, use "
            "schedule.round_timesteps(), or for samplers that call it between the points "
            "plan.round_timesteps()"
        )
    if "dtype" in message or "type" in message:
        for name, dtype in _of_another_dtype(x, keywords).items():
            yield f"The keyword {name!r} is {dtype}, and x is {x.dtype}"
    for name, value in keywords.items():
        if f"'{name}'" in message and (hint := KEYWORDS.get(name)):
            yield f"Keywords that sampling does not know go to the network: {hint}"
        elif is_array(value) and value.ndim > 0 and value.shape[0] == 1 != x.shape[0]:
            shape = tuple(value.shape)
            yield f"The keyword {name!r} has batch 1, shape {shape}, and x has batch {x.shape[0]}"


def _hint_of_signature(
    model: Any, x: Array, timesteps: Array, keywords: Mapping[str, Any]
) -> list[str]:
    """Return a hint if the network cannot be called as `model(x, timesteps, **keywords)`."""
    try:
        form = signature(getattr(model, "forward", model))
    except (TypeError, ValueError):
        return []
    try:
        form.bind(x, timesteps, **keywords)
    except TypeError:
        given = ", ".join(["x", "timesteps", *(f"{name}=..." for name in keywords)])
        names = ", ".join(form.parameters)
        return [
            f"The network is called as model({given}), and its arguments are ({names}). Where they "
            "differ, pass a function, such as `lambda x, timesteps: model(x)`"
        ]
    return []


def _of_another_dtype(x: Array, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dtypes of the real floating arrays whose dtype is not x's, by keyword."""
    arrays = {name: value for name, value in keywords.items() if is_array(value)}
    return {
        name: value.dtype
        for name, value in arrays.items()
        if value.dtype != x.dtype and is_real_floating(value)
    }


def check_keywords(model: Model, keywords: Mapping[str, Any]) -> None:
    """Raise if a keyword for the network is one that other libraries' sampling functions take.

    Raises:
        TypeError: It is, and the network's signature does not name it.
    """
    for name in keywords:
        if name in KEYWORDS and not _names(model, name):
            raise TypeError(
                f"sampling has no keyword {name!r}, and the network's signature does not name it: "
                f"{KEYWORDS[name]}"
            )


def _names(model: Any, name: str) -> bool:
    """Whether a network, or what it wraps, has a parameter of that name; True if unknown."""
    try:
        parameters = signature(getattr(model, "forward", model)).parameters
    except (TypeError, ValueError):
        return True
    inner = getattr(model, "model", None)
    known = any(p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters.values())
    return not known or name in parameters or (callable(inner) and _names(inner, name))


#: What sampling functions of other libraries take, and what is given here.
KEYWORDS = {
    "seed": "randomness is given as noise=, a seed",
    "generator": "randomness is given as noise=, a generator or a seed",
    "steps": "steps are chosen from the schedule: schedule.subsample(steps=...)",
    "num_inference_steps": "steps are chosen from the schedule: schedule.subsample(steps=...)",
    "num_steps": "steps are chosen from the schedule: schedule.subsample(steps=...)",
    "eta": "eta is the sampler's, as in DDIM(eta=1.0)",
    "guidance_scale": "a network is guided by ClassifierFreeGuidance(model, scale, ...)",
    "callback": "a run is watched in `for x in sample_steps(...)`",
    "prediction_type": "what the network predicts is given as prediction=",
}


def read_output(
    output: Any, x: Array, timestep: int | float | None = None
) -> tuple[Array, Array | None]:
    """Return what a network predicts, and its learned variance or None.

    Args:
        output: What the network returned.
        x: What the prediction must be like.
        timestep: Where the network was called, for the message; None: it is left out.

    Raises:
        TypeError: The output is not an array of x's library.
        ValueError: It has neither the shape of x nor twice its channels, or differs in dtype or
            device.
    """
    if is_like(output, x):
        return output, None
    where = "" if timestep is None else f" at timestep {timestep}"
    check_memory(f"model output{where}", output)  # of both halves
    prediction, variance = split(output, x)
    check_bare(f"model output{where}", output)
    check_like(f"model output{where}", prediction, x)
    return prediction, variance


class Form(NamedTuple):
    """What a network's input is like, and its output is to be like.

    Attributes:
        shape: Their shape.
        dtype: Their dtype.
        like: A quick test of whether an output surely is like the input.
    """

    shape: Any
    dtype: Any
    like: Callable[[Any], bool]


def form_of(x: Array) -> Form:
    """Return the form of x, made once for many calls. It does not hold x."""
    return Form(x.shape, x.dtype, known(x).likeness(x))


def check_input(x: Array, shape: Any, dtype: Any) -> None:
    """Raise if the network changed the shape or the dtype of its input.

    Raises:
        ValueError: It did.
    """
    if x.shape != shape or x.dtype != dtype:
        name, before, now = "shape", tuple(shape), tuple(x.shape)
        if before == now:
            name, before, now = "dtype", dtype, x.dtype
        raise ValueError(
            f"model changed the {name} of its input from {before} to {now}: it must not change its "
            "input"
        )


def split(output: Any, x: Array) -> tuple[Any, Array | None]:
    """Return a network's prediction and learned variance: the two halves of 2C channels.

    If the output does not have twice the channels of x, it is the prediction, and the variance is
    None.
    """
    if x.ndim < 2 or not is_array(output) or output.ndim != x.ndim:
        return output, None
    channels = x.shape[1]
    doubled = (x.shape[0], 2 * channels, *x.shape[2:])
    if tuple(output.shape) != doubled or channels == 0:
        return output, None
    return output[:, :channels, ...], output[:, channels:, ...]


def check_bare(what: str, output: object) -> None:
    """Raise if a network returned its output inside of something else.

    Raises:
        TypeError: It did.
    """
    if is_array(output):
        return
    if output is None:
        raise TypeError(f"{what} is None, not an array: does the function return its result?")
    if isinstance(output, tuple | list | Mapping) or hasattr(output, "sample"):
        raise TypeError(
            f"{what} is a {type_name(output)}, not an array: pass a function that returns the "
            "array in it, such as `lambda x, t: model(x, t)[0]`; for models of diffusers, "
            "`schedalg.interop.diffusers.network(model)`"
        )
