"""Arguments of the command line that are values of schedalg, and examples in help texts."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import click

from schedalg.checks import MOST
from schedalg.command_line.files import read_json, read_recipe, read_schedule
from schedalg.expressions import parse_sampler, parse_schedule
from schedalg.running.noise import count_of


def examples(*lines: str) -> str:
    """Return examples for the end of a help text, whose lines click leaves as they are."""
    return "\n".join(["\b", "Examples:", *(f"  schedalg {line}" for line in lines)])


def read_by(read: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a callback that makes an argument's text a value; its errors are those of usage."""

    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        try:
            return None if value is None else read(value)
        except (ValueError, TypeError, ImportError, OSError) as error:
            raise click.BadParameter(str(error)) from error

    return callback


def _schedule(text: str) -> Any:
    return read_schedule(text) if text.endswith(".json") else parse_schedule(text)


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError:
        raise ValueError(f"sizes have commas between them, as in 3,32,32; got {text!r}") from None


def _interval(text: str) -> tuple[str, float | None, float | None]:
    """Return (quantity, low, high) for "sigma:0.3:5", in which a bound that is left out is None."""
    try:
        quantity, low, high = text.split(":")
        return quantity, float(low) if low else None, float(high) if high else None
    except ValueError:
        raise ValueError(
            "an interval is a quantity and its two bounds, as in sigma:0.3:5, or sigma::5 without "
            f"the lower one; got {text!r}"
        ) from None


def _seeds(text: str) -> Sequence[int]:
    """Return a range for "0:50000" or "0:50000:2", and a list for such and numbers with commas."""
    parts = [_range(part) for part in text.split(",")]
    if len(parts) == 1:
        return parts[0]
    count = sum(map(count_of, parts))
    if count > MOST:
        raise ValueError(f"seeds with commas between them are at most {MOST}; got {count}")
    return [seed for part in parts for seed in part]


def _range(text: str) -> range:
    try:
        numbers = [int(number) for number in text.split(":")]
        return range(*numbers) if len(numbers) > 1 else range(numbers[0], numbers[0] + 1)
    except (ValueError, TypeError):
        raise ValueError(
            f"seeds are ranges or numbers with commas between them, as in 0:50000 or 0:10,20,31; "
            f"got {text!r}"
        ) from None


def _finite(value: float | tuple[float, ...]) -> float | tuple[float, ...]:
    """Return a number, or all of an option, which click takes as "nan" and "inf" too."""
    for number in value if isinstance(value, tuple) else (value,):
        if not math.isfinite(number):
            raise ValueError(f"a number must be finite, got {number}")
    return value


FINITE = read_by(_finite)
INTERVAL = read_by(_interval)
JSON = read_by(read_json)
RECIPE = read_by(read_recipe)
SEEDS = read_by(_seeds)
SHAPE = read_by(_shape)
SCHEDULE = read_by(_schedule)
SCHEDULES = read_by(lambda texts: {text: _schedule(text) for text in texts})
SAMPLER = click.option(
    "--sampler",
    callback=read_by(parse_sampler),
    required=True,
    help='Such as "DPMSolverPP(order=2)".',
)
