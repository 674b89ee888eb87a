"""`schedalg`: all commands, and how it is said that one failed."""

import traceback
from collections.abc import Iterable, Sequence
from typing import Any

import click

from schedalg.command_line import making, showing
from schedalg.command_line.arguments import examples
from schedalg.command_line.tables import width

#: Errors whose message says all.
FAILURES = (ValueError, TypeError, ImportError, OSError, MemoryError, RuntimeError)


class Help(click.HelpFormatter):
    """Help texts that fit narrow terminals; those of click are 50 characters wide or more."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.width = min(self.width, max(width(otherwise=80) - 2, 20))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write names with what they mean, which has at least half of the width."""
        super().write_dl(rows, min(col_max, self.width // 2 - col_spacing), col_spacing)


class Context(click.Context):
    """Where a command runs."""

    formatter_class = Help


class Failing(click.Group):
    """Commands whose errors are one message, and exit code 1."""

    context_class = Context

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (BrokenPipeError, click.exceptions.Exit, click.Abort):  # click ends by them
            raise
        except Exception as error:
            notes = getattr(error, "__notes__", [])
            if not notes and not isinstance(error, FAILURES):
                raise
            raise click.ClickException(_said_of(error, notes)) from error


def _said_of(error: Exception, notes: Sequence[str]) -> str:
    """Return what an error says; where a network or its factory raised it, also where that was."""
    if not notes:
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"  raised in {last.filename}, line {last.lineno}, in {last.name}"
    return "\n".join([f"{type(error).__name__}: {error}", *(f"  {note}" for note in notes), place])


@click.group(
    cls=Failing,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        'show "linear(1000) | subsample(every=10)"',
        'show "cosine(1000)[::10] | shift(3.0)"',
        'plan "karras(20)" --sampler "DPMSolverPP(order=2)"',
        'compare scheduler_config.json "scaled_linear(1000)"',
    ),
)
@click.version_option(package_name="schedalg")
def schedalg() -> None:
    """Noise schedules and samplers of diffusion models.

    A SCHEDULE is a constructor and, after "|", transforms; slices follow what they are of. Or it is
    the name of a .json file: a schedule, a plan, a recipe, or a scheduler_config.json of diffusers.

    The exit code is 0, or 1 if what was asked for failed or is not so, or 2 if the command was not
    understood.
    """


for each in (
    showing.show,
    showing.plan,
    showing.compare,
    showing.plot,
    showing.sigmas,
    showing.backends,
    making.recipe,
    making.convert,
    making.generate,
    making.verify,
):
    each.context_class = Context
    schedalg.add_command(each)
