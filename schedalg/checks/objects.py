"""Functions and objects."""

from dataclasses import fields, is_dataclass
from typing import Any, NoReturn

from schedalg.checks.messages import shown


def check_callable(name: str, function: object) -> None:
    """Raise unless the value can be called. A class is refused: an instance of it was meant.

    Raises:
        TypeError: `function` is not callable.
    """
    if isinstance(function, type):
        raise TypeError(f"{name} must be an object, not the class {function.__name__}")
    if not callable(function):
        raise TypeError(f"{name} must be callable, got {type(function).__name__}")


def check_sampler_object(sampler: object) -> None:
    """Raise unless the value has a method `plan` or `step`, and is not a class.

    Raises:
        TypeError: It has neither, or is a class.
    """
    methods = [getattr(sampler, name, None) for name in ("plan", "step")]
    if isinstance(sampler, type) or not any(map(callable, methods)):
        raise TypeError(f"sampler must be a sampler, such as DDIM(); got {shown(sampler)}")


def raise_stopped(error: StopIteration, what: str = "model, sampler, clip or noise") -> NoReturn:
    """Raise what a StopIteration of a user's function is reported as.

    A loop that yields cannot pass it on: Python takes it for its own end.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        f"{what} raised StopIteration: an iterator in it has come to its end"
    ) from error


def require_whole(name: str, value: object) -> None:
    """Raise if a value is the empty stand-in for one that is made in the traced program.

    Raises:
        ValueError: The value is such a stand-in.
    """
    kind = type(value)
    held: Any = getattr(value, "__dict__", None)
    if is_dataclass(value):
        names = [field.name for field in fields(value) if field.init]
        whole = all(hasattr(value, name) if held is None else name in held for name in names)
    else:
        whole = held != {} or kind.__init__ is object.__init__
    if not whole:
        raise ValueError(
            f"{name}: a {kind.__name__} that is made inside a function for torch.compile is not "
            "known when the function is traced: make it outside of the function"
        )
