"""The plan and the row that a caller names: one row for all samples, or one for each."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from schedalg.arrays import Array, compiling, has_values, is_array, requires_gradient
from schedalg.checks import described, host_numbers, integer, shown
from schedalg.plan.plan import Plan, as_plan
from schedalg.running.plans import constant_plan
from schedalg.running.preparation import checked_backend


def checked_plan(plan: object, x: Array) -> Plan:
    """Return the plan as it is computed with, where x can be taken through it.

    Raises:
        TypeError: It is not a plan, or x is not an array that can be run.
        ValueError: x has no batch dimension, or cannot be run on its device.
    """
    known = as_plan("plan", plan)
    checked_backend(known, x)
    return constant_plan(known) if compiling(x) else known


def checked_row(plan: Plan, row: Any, x: Array) -> int | np.ndarray:
    """Return the row, or that of each sample, (B,), int64.

    Raises:
        TypeError: They are not integers.
        ValueError: One is out of range, or there is not one for each sample, or they are traced.
    """
    if not len(plan):
        raise ValueError("plan has no rows, and so no row")
    if is_array(row) and (requires_gradient(row) or not has_values(row)):
        raise ValueError(
            "row is traced and has no values: rows must be known when the function is traced, as "
            "integers or an array of NumPy"
        )
    many = isinstance(row, Sequence | np.ndarray) or (is_array(row) and row.ndim > 0)
    if not many or isinstance(row, str | bytes):
        k = integer("row", row)
        if not 0 <= k < len(plan):
            raise ValueError(f"row is {shown(k)}: rows are 0 to {len(plan) - 1}")
        return k
    values = host_numbers("row", row)
    if not values.size:
        if x.shape[0] == 0:
            return 0
        raise ValueError("row is empty, and must be one integer or one for each sample")
    if values.dtype.kind not in "iu":
        raise TypeError(f"row must hold integers, got {described(row)}")
    if len(values) != x.shape[0]:
        raise ValueError(
            f"row must be one integer or {x.shape[0]}, one for each sample; got {len(values)}"
        )
    outside = (values < 0) | (values >= len(plan))
    if outside.any():
        i = int(np.argmax(outside))
        raise ValueError(f"row[{i}] is {values[i]}: rows are 0 to {len(plan) - 1}")
    return values
