"""What a network is given in a row of a plan, whatever row it is."""

from collections.abc import Sequence
from typing import NamedTuple

from schedalg.arrays import Array, device, namespace
from schedalg.parameterization import Parameterization, Prediction
from schedalg.plan.plan import Plan
from schedalg.running.preparation import meaning_of, rows_for
from schedalg.running.reference import Functional
from schedalg.running.row_arguments import checked_plan, checked_row
from schedalg.schedule.timesteps import timestep_batch, timestep_dtype


class NetworkInput(NamedTuple):
    """What a network is given in a row.

    Attributes:
        input: (B, ...), x in the scale that the network was trained in.
        timesteps: (B,).

    Example:
        >>> import numpy as np
        >>> from schedalg import DDPM, Schedule, network_input
        >>> plan = DDPM().plan(Schedule.karras(5, sigma_max=10.0))
        >>> network_input(plan, 0, np.ones((1, 2))).timesteps
        array([10.])
    """

    input: Array
    timesteps: Array


def network_input(
    plan: Plan,
    row: int | Sequence[int] | Array,
    x: Array,
    *,
    prediction: Prediction | Parameterization | None = None,
) -> NetworkInput:
    """Return what a network is given in a row: x in the scale it was trained in, and timesteps.

    Use it to call the network again for a stored x, with rows in any order. The result is what
    `Run.input` and `Run.timesteps` were in that row.

    Args:
        plan: The plan.
        row: The row; or integers (B,), the row of each sample.
        x: (B, ...), before the row.
        prediction: As in `sample`.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: A row is out of range.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDPM, Schedule, network_input
        >>> plan = DDPM().plan(Schedule.linear(1000).subsample(steps=5))
        >>> network_input(plan, [4, 0], np.ones((2, 3))).timesteps
        array([199, 999])
    """
    plan = checked_plan(plan, x)
    k = checked_row(plan, row, x)
    rows, _ = rows_for(plan, meaning_of(plan, prediction), None, x)
    model_input = Functional(rows, None).input(k, x)
    if isinstance(k, int):
        return NetworkInput(model_input, timestep_batch(x, rows.timesteps[k]))
    values = plan.timesteps[k]
    timesteps = namespace(x).asarray(
        values, dtype=timestep_dtype(x, values[0].item()), device=device(x)
    )
    return NetworkInput(model_input, timesteps)
