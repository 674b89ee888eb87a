"""Reading a configuration of diffusers: from a dict, a JSON file, or a scheduler object."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from schedalg.checks import checked_path, described, parsed_json, shown
from schedalg.interop.diffusers.classes import CLASSES
from schedalg.interop.diffusers.options import Options

#: The largest size of a file in bytes; `trained_betas` of 1000 steps take 20,000.
_LARGEST: Final = 2**24

#: Keys of a configuration that are not options.
_NOTES: Final = frozenset(
    {"_class_name", "_diffusers_version", "_name_or_path", "_use_default_values"}
)

#: Values without effect, of options that can change the images. `from_config` copies options from
#: one class to another that does not have them. Those listed here are accepted only with such a
#: value. All others are accepted with any value: they only affect how a solver takes its steps, or
#: belong to an option that is off.
_IDLE: Final[Mapping[str, tuple[Any, ...]]] = {
    "clip_sample": (False,),
    "disable_corrector": ([], ()),
    "euler_at_final": (False,),
    "final_sigmas_type": ("zero",),
    "flow_shift": (1.0,),
    "interpolation_type": ("linear",),
    "invert_sigmas": (False,),
    "lambda_min_clipped": (float("-inf"),),
    "predict_x0": (True,),
    "rescale_betas_zero_snr": (False,),
    "shift": (1.0,),
    "shift_terminal": (None,),
    "sigma_max": (None,),
    "sigma_min": (None,),
    "solver_p": (None,),
    "stochastic_sampling": (False,),
    "thresholding": (False,),
    "timestep_type": ("discrete",),
    "use_beta_sigmas": (False, None),
    "use_dynamic_shifting": (False,),
    "use_exponential_sigmas": (False, None),
    "use_flow_sigmas": (False,),
    "use_karras_sigmas": (False, None),
    "use_lu_lambdas": (False,),
    "variance_type": (None, "fixed_small"),
}


def read(source: object) -> Options:
    """Return the options of a scheduler.

    Args:
        source: A configuration as a mapping with `"_class_name"`; the path of a JSON file, or of a
            directory with a `scheduler_config.json`; or a scheduler, whose `config` is read.

    Raises:
        TypeError: `source` is of another type.
        ValueError: The class is not supported, or an option is unknown or unsupported there; or
            the file is not a regular file, too large, or not JSON in UTF-8.
        OSError: The file cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        source = _parsed(checked_path("scheduler", source, "a file"))
        return complete(source.get("_class_name"), source)
    if isinstance(source, Mapping):
        return complete(source.get("_class_name"), source)
    config = getattr(source, "config", None)
    if not isinstance(config, Mapping) or isinstance(source, type):
        raise TypeError(
            "scheduler must be a scheduler of diffusers, its config as a dict, or the path of its "
            f"scheduler_config.json; got {described(source)}"
        )
    return complete(type(source).__name__, config)


def _parsed(path: Path) -> Mapping[str, Any]:
    """Return the JSON object in a file, or in the `scheduler_config.json` of a directory."""
    path = path / "scheduler_config.json" if path.is_dir() else path
    kind = path.stat()
    if not stat.S_ISREG(kind.st_mode):
        raise ValueError(f"{path} is not a regular file")
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"{path} is larger than {_LARGEST} bytes: it is not a configuration")
    try:
        values = parsed_json(data.decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON in UTF-8: {error}") from None
    except RecursionError:
        raise ValueError(f"{path} is not a configuration: it is nested too deeply") from None
    if not isinstance(values, Mapping):
        raise TypeError(f"{path} must hold a JSON object, got {described(values)}")
    return values


def complete(name: object, given: Mapping[str, Any]) -> Options:
    """Return the options of a class, with defaults for those that are not given.

    Raises:
        ValueError: The class is not supported, or an option is unknown or unsupported there.
    """
    if not isinstance(name, str) or name not in CLASSES:
        raise ValueError(
            f"_class_name must be one of {', '.join(sorted(CLASSES))}; got {name!r}"
            + ("" if name is not None else " (the config does not name a class)")
        )
    record = CLASSES[name]
    for key, value in given.items():
        if key in record.defaults or key in _NOTES:
            continue
        if not any(key in other.defaults for other in CLASSES.values()):
            raise ValueError(
                f"{key}={shown(value)} is not an option of {name}, nor of any supported class"
            )
        if key in _IDLE and not any(_same(value, idle) for idle in _IDLE[key]):
            raise ValueError(
                f"{key}={shown(value)} is not an option of {name}, which would ignore it: leave it "
                "out"
            )
    return record.options(given)


def _same(value: object, idle: object) -> bool:
    return (type(value) is type(idle) and value == idle) or value is idle
