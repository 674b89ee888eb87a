"""A start of full order for multistep methods, whose first steps have lower order otherwise.

A method of order k needs a start with errors of O(h^k). Its first step has order 1, and an error of
O(h²), so that from order 3 on it is the start that limits the order of the whole.

    order 3: when the network is called after the first step, that step is corrected: its integral
             is taken once more, with the line through both predictions.
    order 4: the network is then called once more at the corrected x. After the second step, both
             steps are corrected, with the parabola through all three predictions.

This is a start for methods that know only points of the schedule: no network is called between
them. It is the one of `PNDM`, continued to order 4.

Source: Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations I, section III.1.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from schedalg.arrays import Array, to_host
from schedalg.plan.plan import Plan
from schedalg.plan.steps import Steps
from schedalg.samplers.multistep import solve

#: Largest allowed ratio of the first two steps in a start of order 4, either way. Beyond it, the
#: weights of the predictions at both ends of the shorter step cancel.
MOST = 1e3


class Form(NamedTuple):
    """What a multistep method integrates: x_s = a x_t + scale ∫ (weight) (polynomial).

    Attributes:
        finite: Whether the step has a finite length, (N,), a NumPy array.
        length: Length of each step in the variable of the polynomial, (N,).
        moments: Integrals over each step of the weight times r^0, r^1, ..., columns of N.
        scale: What multiplies the integral, (N,).
    """

    finite: np.ndarray
    length: Array
    moments: Sequence[Array]
    scale: Array

    def integral(self, steps: Steps, step: int, nodes: Sequence[int]) -> list[Array]:
        """Return the weights in x of the predictions at some points, newest first, each (1,).

        Args:
            steps: The steps.
            step: Over which step the polynomial is integrated.
            nodes: The step at whose start each prediction is, newest first and without a gap.
        """
        at = np.array([step])
        length = steps.gather(self.length, at)
        gaps = [steps.gather(self.length, np.array([k])) / length for k in nodes[1:]]
        moments = [steps.gather(column, at) for column in self.moments[: len(nodes)]]
        scale = steps.gather(self.scale, at)
        rows = solve(gaps, moments, nodes.index(step))
        return [scale * rows[j, ...] for j in range(len(nodes))]


def start_order(form: Form, order: int) -> int:
    """Return the order of a start: that of the method, or less on few or very uneven steps."""
    lead, finite = _lead(form.finite), form.finite
    corrected = int(np.argmin([*finite[lead : lead + 2], False]))
    # A row must follow the last step that is corrected.
    order = min(order, 2 + corrected, len(finite) - lead + 1)
    if order > 3:
        first, second = to_host(form.length)[lead : lead + 2].tolist()
        if max(first, second) > MOST * min(first, second):
            return 3
    return order


def _lead(finite: np.ndarray) -> int:
    """Return the first step of the start: 1 if the first step leaves pure noise, else 0."""
    return int(len(finite) > 1 and not finite[0])


def with_full_start(plan: Plan, steps: Steps, form: Form, order: int) -> Plan:
    """Return the plan of a multistep method with a start of full order, or as high as it can be.

    Args:
        plan: The plan, whose first steps have order 1 and 2, and are not corrected.
        steps: The steps of its schedule.
        form: What it integrates.
        order: The order of the method.
    """
    order, lead = start_order(form, order), _lead(form.finite)
    if order < 3:
        return plan

    def entry(column: Array, k: int) -> Array:
        return steps.gather(column, np.array([k]))

    # The step from 0 to 1 with the line through the predictions there, less what it had.
    new, old = form.integral(steps, lead, [lead + 1, lead])
    euler = entry(plan.b, lead)[:, 0]
    if order == 3:
        carry = entry(plan.a, lead + 1)
        correction = [carry * new, carry * (old - euler)]
        return replace(plan, b=_with(steps, plan.b, lead + 1, correction))
    # Row `lead` + 1 is new: it makes this correction, and the next one calls the network again.
    call = np.insert(np.arange(len(plan)), lead + 1, lead + 1)
    step = np.insert(np.arange(len(plan)), lead + 1, lead)
    added = np.arange(len(call)) == lead + 1
    b = steps.where(~added, _past(steps, plan.b, call, lead), 0.0)
    b = _with(steps, b, lead + 1, [new, old - euler])
    # Both steps with the parabola through the predictions at 0, 1 and 2, less what they had.
    nodes = [lead + 2, lead + 1, lead]
    carry, onwards = entry(plan.a, lead + 1), entry(plan.a, lead + 2)
    two, one, zero = (
        carry * first + second
        for first, second in zip(
            form.integral(steps, lead, nodes), form.integral(steps, lead + 1, nodes), strict=True
        )
    )
    had = entry(plan.b, lead + 1)
    correction = [two, one - had[:, 0], -carry * new, zero - carry * old - had[:, 1]]
    b = _with(steps, b, lead + 3, [onwards * weight for weight in correction])
    columns = {
        name: steps.gather(getattr(plan, name), call) for name in ("alpha", "sigma", "p", "q", "u")
    }
    return replace(
        plan,
        step=step,
        timesteps=steps.gather(plan.timesteps, call),
        a=steps.where(~added, steps.gather(plan.a, call), 1.0),
        b=b,
        c=steps.where(~added, steps.gather(plan.c, call), 0.0),
        **columns,
    )


def _past(steps: Steps, b: Array, call: np.ndarray, lead: int) -> Array:
    """Return the rows of b for each call, with the memory of the call before the second left out.

    Args:
        steps: The steps.
        b: (N, m), weights of the last memories, newest first.
        call: The step at whose start each row calls the network.
        lead: The step whose end is called twice.
    """
    b = steps.gather(b, call)
    count, width = b.shape
    # Memories of the first call of all, and of those before it, are one row further back.
    further = call[:, None] - np.arange(width) <= lead
    further &= (call > lead)[:, None]
    nothing = steps.array(np.zeros((count, 1)))
    near = steps.xp.concat([b * steps.array(~further), nothing], axis=1)
    return near + steps.xp.concat([nothing, b * steps.array(further)], axis=1)


def _with(steps: Steps, b: Array, row: int, weights: Sequence[Array]) -> Array:
    """Return b with weights, each (1,), added to those of one row."""
    width = max(b.shape[1], len(weights))
    nothing = steps.array(np.zeros(1))
    one = steps.xp.stack([*weights, *[nothing] * (width - len(weights))], axis=1)
    missing = steps.array(np.zeros((b.shape[0], width - b.shape[1])))
    b = steps.xp.concat([b, missing], axis=1)
    return steps.where(np.arange(b.shape[0]) == row, b + one, b)
