"""Arguments of the command line that are values of schedalg."""

from collections.abc import Callable
from typing import Any

import click

from schedalg.command_line.files import read_json, read_schedule
from schedalg.expressions import parse_sampler, parse_schedule


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


JSON = read_by(read_json)
SHAPE = read_by(_shape)
SCHEDULE = read_by(_schedule)
SCHEDULES = read_by(lambda texts: {text: _schedule(text) for text in texts})
SAMPLER = read_by(parse_sampler)
