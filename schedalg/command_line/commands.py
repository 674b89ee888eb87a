"""`schedalg`: all commands, and how it is said that one failed."""

import traceback
from collections.abc import Sequence
from typing import Any

import click

from schedalg.command_line import making, showing
from schedalg.command_line.arguments import examples

#: Errors whose message says all.
FAILURES = (ValueError, TypeError, ImportError, OSError, MemoryError, RuntimeError)


class Failing(click.Group):
    """Commands whose errors are one message, and exit code 1."""

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
    schedalg.add_command(each)
