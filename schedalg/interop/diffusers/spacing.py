"""The timesteps for a number of steps, by `timestep_spacing` and `steps_offset`."""

import numpy as np

from schedalg.interop.diffusers.options import Options
from schedalg.schedule import Schedule


def spaced(
    options: Options,
    base: Schedule,
    steps: int,
    *,
    fractional: bool = False,
    one_more: bool = False,
    last: int | None = None,
) -> np.ndarray:
    """Return the timesteps, rising.

    Args:
        options: The configuration.
        base: The trained schedule.
        steps: The number of timesteps.
        fractional: Whether those of "linspace" are not rounded.
        one_more: Whether "leading" and "linspace" space one timestep more and leave out the
            least noisy.
        last: The number of trained steps that "leading" and "linspace" use. None: all of them.

    Raises:
        ValueError: A timestep is outside the trained ones, or is visited twice.
    """
    n = options.count("num_train_timesteps")  # `trained_betas` may have another length
    last = n if last is None else last
    name = options.choice("timestep_spacing", ("leading", "trailing", "linspace"))
    parts = steps + one_more
    if name == "trailing":
        if steps > n:
            raise ValueError(f"steps must be at most num_train_timesteps={n}, got {steps}")
        if n > len(base):
            options.refuse("num_train_timesteps", f"trained_betas holds {len(base)} values")
        timesteps = base[:n].subsample(steps=steps, spacing="trailing").timesteps
    elif name == "leading":
        timesteps = np.arange(parts)[one_more:] * (last // parts) + options["steps_offset"]
    else:
        timesteps = np.linspace(0, last - 1, parts)
        timesteps = (timesteps if fractional else timesteps.round())[one_more:]
        if one_more and steps == last == n:
            timesteps = np.arange(n)  # one more than these: one would be visited twice
    if (np.diff(timesteps) <= 0).any():
        raise ValueError(
            f"steps={steps}: timestep_spacing={name!r} of {options.name} visits a timestep twice, "
            f"with {last} of num_train_timesteps={n} to choose from"
        )
    trained = len(base) - 1
    if timesteps[0] < 0 or timesteps[-1] > trained:
        options.refuse(
            "steps_offset" if trained == n - 1 else "num_train_timesteps",
            f"{steps} steps would run from timestep {timesteps[0]:g} to {timesteps[-1]:g}, and the "
            f"last of {'trained_betas' if options.is_set('trained_betas') else 'training'} is "
            f"{trained}",
        )
    return timesteps


def distilled(n: int, original: int, kept: int, steps: int) -> np.ndarray:
    """Return timesteps spread evenly over those of a distillation, rising.

    Args:
        n: The number of trained steps.
        original: The number of steps of the distillation.
        kept: How many of these are used, from the least noisy.
        steps: The number of timesteps, at most `kept`.
    """
    trained = np.arange(1, kept + 1) * (n // original) - 1
    place = np.floor(np.linspace(0, kept, steps, endpoint=False)).astype(np.int64)
    return trained[kept - 1 - place][::-1]


def whole(timesteps: np.ndarray) -> np.ndarray:
    """Return timesteps rounded down to integers; one within 1e-6 of an integer becomes it."""
    nearest = np.rint(timesteps)
    return np.asarray(np.where(np.abs(timesteps - nearest) < 1e-6, nearest, np.floor(timesteps)))
