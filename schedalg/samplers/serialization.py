"""A sampler as its name and its options, for JSON and the like, and back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from schedalg.checks import check_version, shown
from schedalg.samplers.adams_bashforth import IPNDM, LMS, PNDM
from schedalg.samplers.consistency import LCM, TCD
from schedalg.samplers.ddim import DDIM
from schedalg.samplers.ddpm import DDPM
from schedalg.samplers.deis import DEIS
from schedalg.samplers.dpm_solver import DPMSolver
from schedalg.samplers.dpm_solver_pp import DPMSolverPP
from schedalg.samplers.euler import Euler, EulerAncestral, Heun, Midpoint
from schedalg.samplers.flow_sde import FlowCPS, FlowSDE
from schedalg.samplers.predictor_corrector import SASolver, UniPC
from schedalg.samplers.restart import RePaint, Restart
from schedalg.samplers.runge_kutta import RungeKutta, Tableau
from schedalg.schedule import Schedule

#: The library's samplers, by the names that files have for them.
SAMPLERS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        DDIM,
        DDPM,
        DEIS,
        DPMSolver,
        DPMSolverPP,
        Euler,
        EulerAncestral,
        FlowCPS,
        FlowSDE,
        Heun,
        IPNDM,
        LCM,
        LMS,
        Midpoint,
        PNDM,
        RePaint,
        Restart,
        RungeKutta,
        SASolver,
        TCD,
        UniPC,
    )
}

#: What samplers hold that is neither a sampler nor a schedule.
_HELD: dict[str, type[Any]] = {"Tableau": Tableau}

_INFINITIES = {"inf": math.inf, "-inf": -math.inf}


def sampler_to_dict(sampler: Any) -> dict[str, Any]:
    """Return a sampler as its name and its options, which JSON holds without loss.

    A sampler of one's own can be written too, if it is a frozen dataclass of numbers, strings,
    tuples, schedules and such samplers. Its name is that of its class.

    Args:
        sampler: A sampler of this library, or such a dataclass.

    Returns:
        A dictionary for `json.dumps(..., allow_nan=False)`, and for `sampler_from_dict`.

    Raises:
        TypeError: The sampler is not a frozen dataclass, or a field holds something else.
        ValueError: A field is NaN, or a class has the name of another of this library.

    Example:
        >>> from schedalg import DPMSolverPP, sampler_to_dict
        >>> sampler_to_dict(DPMSolverPP(order=2))["options"]["order"]
        2
    """
    return value_to_dict("sampler", sampler)


def value_to_dict(name: str, value: Any) -> dict[str, Any]:
    """Return a frozen dataclass, such as a sampler, as the name of its class and its fields.

    Raises:
        TypeError: It is not a frozen dataclass, or a field holds what JSON cannot hold.
        ValueError: A field is NaN, or the class has the name of another of this library.
    """
    kind = type(value)
    if not is_value_class(kind):
        raise TypeError(
            f"{name} must be a sampler of schedalg, or a frozen dataclass of numbers, strings, "
            f"tuples, schedules and such samplers, to be written to a file; got {shown(value)}"
        )
    title = kind.__name__
    if {**SAMPLERS, **_HELD}.get(title, kind) is not kind:
        raise ValueError(
            f"{name} is a {kind.__module__}.{title}, and {title} is a class of schedalg: give the "
            "class another name"
        )
    options = [field.name for field in fields(kind) if field.init]
    extra = set(getattr(value, "__dict__", ())) - {field.name for field in fields(kind)}
    if extra:
        raise TypeError(f"{name} holds {sorted(extra)}, which are not fields of {title}")
    return {
        "type": "schedalg.Sampler",
        "version": 1,
        "name": title,
        "options": {
            option: _written(f"{option} of {title}", getattr(value, option)) for option in options
        },
    }


def is_value_class(kind: type[Any]) -> bool:
    """Whether a class is itself a frozen dataclass, and not only derived from one."""
    return "__dataclass_params__" in vars(kind) and kind.__dataclass_params__.frozen


def _written(name: str, value: Any) -> Any:
    """Return the value of a field for JSON."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError(f"{name} is NaN, which is equal to nothing")
        return {"float": str(value)} if math.isinf(value) else value
    if isinstance(value, tuple):
        return [_written(f"{name}[{i}]", entry) for i, entry in enumerate(value)]
    if isinstance(value, Schedule):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return value_to_dict(name, value)
    raise TypeError(
        f"{name} must be a number, string, tuple, schedule or sampler to be written to a file; "
        f"got {shown(value)}"
    )


def sampler_from_dict(data: Mapping[str, Any], samplers: Sequence[type[Any]] = ()) -> Any:
    """Return the sampler that `sampler_to_dict` wrote.

    An option that the data lack has its default: they were written before it existed.

    Args:
        data: What `sampler_to_dict` returned.
        samplers: Classes of one's own that the data may name, apart from those of this library.

    Returns:
        A sampler equal to the one written.

    Raises:
        TypeError: `data` is not a mapping, or `samplers` does not hold frozen dataclasses.
        ValueError: `data` is not what `sampler_to_dict` returns, or is of a later version; a
            sampler is unknown, or has no such option.

    Example:
        >>> from schedalg import Heun, sampler_from_dict, sampler_to_dict
        >>> sampler_from_dict(sampler_to_dict(Heun(s_churn=2.0))) == Heun(s_churn=2.0)
        True
    """
    return value_from_dict("data", data, named_classes("samplers", samplers))


def named_classes(name: str, classes: Sequence[type[Any]]) -> dict[str, type[Any]]:
    """Return the user's classes by name.

    Raises:
        TypeError: They are not frozen dataclasses.
        ValueError: Two have the same name, or one that this library has.
    """
    if not isinstance(classes, Sequence) or isinstance(classes, str | bytes):
        raise TypeError(f"{name} must be a list of classes, got {shown(classes)}")
    named: dict[str, type[Any]] = {}
    for i, kind in enumerate(classes):
        if not isinstance(kind, type) or not is_value_class(kind):
            raise TypeError(f"{name}[{i}] must be a frozen dataclass, got {shown(kind)}")
        title = kind.__name__
        if named.get(title, {**SAMPLERS, **_HELD}.get(title, kind)) is not kind:
            raise ValueError(f"{name}[{i}] is named {title}, as another class is")
        named[title] = kind
    return named


def value_from_dict(name: str, data: Any, own: Mapping[str, type[Any]]) -> Any:
    """Return the frozen dataclass that `value_to_dict` wrote.

    Args:
        name: What errors call it.
        data: What `value_to_dict` returned.
        own: Classes that the data may name apart from those of this library.

    Raises:
        TypeError: `data` is not a mapping, or an option has the wrong type.
        ValueError: `data` is not what `value_to_dict` returns, or a name is unknown.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"{name} must be a mapping, got {shown(data)}")
    check_version(name, data, "schedalg.Sampler", 1)
    title, options = data.get("name"), data.get("options")
    classes = {**SAMPLERS, **_HELD, **own}
    if not isinstance(title, str) or title not in classes:
        listed = ", ".join(sorted({*SAMPLERS, *own}))
        raise ValueError(
            f"{name} names the sampler {shown(title)}, which is unknown; there are {listed}. One "
            "of your own is read with samplers=[YourClass]"
        )
    if not isinstance(options, Mapping):
        raise TypeError(f"options of {title} must be a mapping, got {shown(options)}")
    kind = classes[title]
    known = [field.name for field in fields(kind) if field.init]
    for option in options:
        if option not in known:
            raise ValueError(
                f"{name} has {shown(option)} as an option of {title}, which has "
                f"{', '.join(known) or 'none'}"
            )
    values = {
        option: _read(f"{option} of {title}", value, own) for option, value in options.items()
    }
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} has a {title} that cannot be made: {error}") from error


def _read(name: str, value: Any, own: Mapping[str, type[Any]]) -> Any:
    """Return the value of a field that `_written` wrote."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return tuple(_read(f"{name}[{i}]", entry, own) for i, entry in enumerate(value))
    if isinstance(value, Mapping):
        if value.get("type") == "schedalg.Schedule":
            return Schedule.from_dict(value)
        infinity = value.get("float")
        if set(value) == {"float"} and isinstance(infinity, str) and infinity in _INFINITIES:
            return _INFINITIES[infinity]
        return value_from_dict(name, value, own)
    raise TypeError(f"{name} must be what JSON holds, got {shown(value)}")
