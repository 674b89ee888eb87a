"""`Plan`: a sampler compiled for one schedule, a table with a row for each call of the network."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from schedalg.arrays import Array, has_values, namespace, to_host
from schedalg.checks import described, shown
from schedalg.frozen import without_assignment
from schedalg.libraries import Value
from schedalg.plan import bound, inversion, notebook, plotting, response, text, weights
from schedalg.plan.columns import (
    FLOATS,
    Evaluations,
    check_rows,
    checked_column,
    checked_evaluations,
    checked_start,
    checked_step,
    host_start,
)
from schedalg.plan.steps import column_log_alpha_bar
from schedalg.schedule import Schedule, check_schedule
from schedalg.schedule.timesteps import rounded_timesteps

#: What a row stores for later rows: the x0 prediction, the noise prediction, (p, q) for
#: p x0 + q eps, or (p, q, u) for p x0 + q eps + u times the x0 prediction before it was bounded.
Memory: TypeAlias = Literal["x0", "epsilon"] | tuple[Any, Any] | tuple[Any, Any, Any]


@without_assignment
@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Plan(Value):
    """A sampler as a table of numbers: K rows, one for each call of the network.

    Row k calls the network at the noise level (`alpha`, `sigma`), where x = alpha x0 + sigma eps,
    and updates x:

        memory_k = p x0 + q eps
        x        = a x + Σ_j b_j memory_{k-j} + c z

    where x0 and eps are the network's predictions, and z is standard normal. If x0 is bounded
    (clipped), eps is computed from the bounded x0. A row can also use the x0 prediction before it
    was bounded: u times that is added to the memory. If the variance is learned (`log_variance` is
    not None), c exp(l / 2) z takes the place of c z. The second half of the network's channels,
    from -1 to 1, interpolates l between the two columns of `log_variance`.

    A plan is made by a sampler's `plan(schedule)`, or by `Plan.of` in a sampler of your own. It is
    run by `run(plan, model, x)`, which also takes what the network predicts. Columns are read-only
    float64 NumPy arrays; if the schedule requires a gradient, they are arrays of its library. (Copy
    one before giving it to `torch.from_dlpack` or `torch.as_tensor`: these do not heed that it is
    read-only.) Two plans are equal if their schedules and all columns are.

    Attributes:
        schedule: The schedule that the plan was compiled for.
        step: The step that the row belongs to, from 0. In a method with stages, a step has several
            rows; after the last of them, x is at the point that the step reaches.
        timesteps: The timestep passed to the network.
        alpha: Signal scale where the network is called.
        sigma: Noise scale where it is called.
        p: Coefficient of the x0 prediction in the memory.
        q: Coefficient of the noise prediction in the memory.
        u: Coefficient of the x0 prediction before it was bounded in the memory.
        a: Coefficient of x.
        b: Coefficients of the last m memories, newest first, (K, m).
        c: Coefficient of the noise.
        log_variance: Bounds of a learned log-variance, (K, 2), or None.
        start: (scale, noise): before the first row, x becomes scale x + noise z.

    Example:
        >>> from schedalg import DDIM, Schedule
        >>> plan = DDIM().plan(Schedule.linear(1000).subsample(steps=3))
        >>> print(plan)
        plan of 3 model calls in 3 steps, start: x
        row step timestep      alpha    sigma        a        b0 c
          0    0      999 0.00635282  0.99998 0.994513 0.0984877 0
          1    1      666   0.104806 0.994493 0.828709  0.479525 0
          2    2      332   0.566379 0.824145        0         1 0
    """

    schedule: Schedule
    step: np.ndarray
    timesteps: Array
    alpha: Array
    sigma: Array
    p: Array
    q: Array
    u: Array
    a: Array
    b: Array
    c: Array
    log_variance: Array | None = None
    start: tuple[Any, Any] = (1.0, 0.0)
    _identity: tuple[object, ...] | None = field(init=False, default=None)
    _hash: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        for name in ("step", "timesteps", *FLOATS):
            values = getattr(self, name)
            if not isinstance(values, np.ndarray):
                continue
            if values.flags.writeable or values.base is not None:  # it can change
                values = values.copy()
                values.flags.writeable = False
                object.__setattr__(self, name, values)
        object.__setattr__(self, "start", checked_start(self.start))
        if has_values(self.a):
            hash(self)  # now, and not within a call that torch.compile traces

    @classmethod
    def of(
        cls,
        schedule: Schedule,
        *,
        a: Array,
        b: Array,
        c: Array | None = None,
        memory: Memory = "x0",
        evaluations: Evaluations | None = None,
        step: Sequence[int] | np.ndarray | None = None,
        log_variance: Array | None = None,
        start: tuple[Any, Any] = (1.0, 0.0),
    ) -> "Plan":
        """Return the plan with these coefficients.

        Args:
            schedule: The schedule that the plan is for.
            a: (K,), the coefficient of x in each row, the noisiest first.
            b: (K, m), or (K,) if m is 1: the coefficients of the last memories, newest first.
            c: (K,), the coefficient of the noise; None: no noise.
            memory: What each row stores: "x0", "epsilon", (p, q) for p x0 + q eps, or (p, q, u);
                see the class.
            evaluations: The K noise levels at which the network is called. None: the points of the
                schedule, the noisiest first.
            step: (K,), the step that each row belongs to, rising. None: each row is a step.
            log_variance: (K, 2), the bounds of a learned log-variance.
            start: (scale, noise), what happens to x before the first row.

        Raises:
            TypeError: A column does not hold real numbers, or an argument is of the wrong type.
            ValueError: A column does not have K rows, a coefficient is not finite, a row uses
                memories from before the first row, or `step` falls.

        Example:
            >>> from schedalg import DDIM, Plan, Schedule, Steps
            >>> s = Schedule.linear(1000).subsample(steps=5)
            >>> steps = Steps.of(s)
            >>> euler = Plan.of(s, a=steps.sigma_s / steps.sigma_t, b=steps.alpha_s * steps.rise)
            >>> euler == DDIM().plan(s)
            True
        """
        if type(schedule) is not Schedule:
            check_schedule(schedule)
        high = column_log_alpha_bar(schedule).high
        timesteps, alpha, sigma = checked_evaluations(schedule, evaluations, high)
        rows = len(timesteps)
        zeros, ones = np.zeros(rows), np.ones(rows)
        p: Any = ones
        q = u = zeros
        if isinstance(memory, tuple) and len(memory) in (2, 3):
            p, q, u = (*memory, zeros)[:3]
        elif isinstance(memory, str) and memory in ("x0", "epsilon"):
            p, q = (ones, zeros) if memory == "x0" else (zeros, ones)
        else:
            raise ValueError(
                f"memory must be 'x0', 'epsilon', (p, q) or (p, q, u); got {shown(memory)}"
            )
        if type(b) is np.ndarray and b.ndim == 1:
            b = b[:, None]  # now: a view of the copy would be copied again
        weights = checked_column("b", b, high)
        if weights.ndim == 1:
            weights = namespace(weights).reshape(weights, (-1, 1))
        weights = weights if rows else weights[:, :1]  # an empty list has no second dimension
        given = {"alpha": alpha, "sigma": sigma, "b": weights}
        constant, plain = {}, isinstance(high, np.ndarray)
        columns = {"p": p, "q": q, "u": u, "a": a, "c": zeros if c is None else c}
        for name, values in columns.items():
            if plain and (values is zeros or values is ones):
                constant[name] = values.copy()
            else:
                given[name] = checked_column(name, values, high)
        if log_variance is not None:
            given["log_variance"] = checked_column("log_variance", log_variance, high)
        check_rows(rows, given)
        step = np.arange(rows) if step is None else checked_step(step, rows)
        for column in (step, timesteps, *given.values(), *constant.values()):
            if isinstance(column, np.ndarray):
                column.setflags(write=False)  # it is a copy already
        return cls(
            schedule=schedule, step=step, timesteps=timesteps, start=start, **given, **constant
        )

    def __len__(self) -> int:
        return len(self.timesteps)

    @property
    def model_calls(self) -> int:
        """Number of calls of the network, which is the number of rows."""
        return len(self)

    def round_timesteps(self) -> "Plan":
        """Return the plan with every timestep rounded to the nearest whole number, half to even.

        For networks that look timesteps up in a table: methods with stages, such as `Midpoint`,
        call the network between the points of a schedule, where timesteps are fractions. alpha and
        sigma stay.

        Example:
            >>> from schedalg import Midpoint, Schedule
            >>> plan = Midpoint().plan(Schedule.linear(1000).subsample(steps=2))
            >>> plan.timesteps.round(2), plan.round_timesteps().timesteps
            (array([999.  , 930.17, 499.  ]), array([999, 930, 499]))
        """
        return replace(self, timesteps=rounded_timesteps(to_host(self.timesteps)))

    reversed = inversion.reversed_plan
    weights = weights.weights
    response = response.response
    error_bound = bound.error_bound
    table = text.table
    plot = plotting.plot
    to_dict = text.to_dict
    from_dict = classmethod(text.from_dict)

    def _key(self) -> tuple[object, ...]:
        """Return what the plan is equal by; made once, where the columns are read-only."""
        if self._identity is not None:
            return self._identity
        columns = [getattr(self, name) for name in FLOATS]
        hosts = [to_host(column) for column in columns if column is not None]
        shapes = tuple([None if column is None else tuple(column.shape) for column in columns])
        values = np.concatenate([host.reshape(-1) for host in hosts])
        values = values.astype(np.float64, copy=False) + 0.0  # -0.0 becomes 0.0
        timesteps = to_host(self.timesteps)
        numbers = (timesteps.dtype.str, timesteps.tobytes(), self.step.tobytes())
        key = self.schedule, numbers, host_start(self.start), shapes, values.tobytes()
        if isinstance(self.a, np.ndarray):
            object.__setattr__(self, "_identity", key)
        return key

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        return self is other or self._key() == other._key()

    def __hash__(self) -> int:
        if self._hash is not None:
            return self._hash
        # Of a part of what it is equal by, where -0.0 becomes 0.0 as well.
        value = hash(np.add(to_host(self.b), 0.0, dtype=np.float64).tobytes())
        if isinstance(self.a, np.ndarray):  # which is read-only
            object.__setattr__(self, "_hash", value)
        return value

    def __repr__(self) -> str:
        steps = len(np.unique(self.step))
        return f"<Plan: {len(self)} model calls in {steps} steps of {self.schedule!r}>"

    __str__ = text.table
    _repr_html_ = notebook.html

    def __copy__(self) -> "Plan":
        return self

    def __deepcopy__(self, memo: object) -> "Plan":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, so that the arrays of what is restored are read-only as well.
        return _restore, tuple(getattr(self, name) for name in _given())


def _restore(*values: Any) -> Plan:
    return Plan(**dict(zip(_given(), values, strict=True)))


def _given() -> list[str]:
    """Return the names of the arguments of the constructor."""
    return [field.name for field in fields(Plan) if field.init]


def as_plan(name: str, plan: object) -> Plan:
    """Return the plan, if the value is one.

    Raises:
        TypeError: It is not a plan.
    """
    if not isinstance(plan, Plan):
        raise TypeError(
            f"{name} must be a Plan, as DDIM().plan(schedule) is; got {described(plan)}"
        )
    return plan


def check_plan(plan: object, schedule: Schedule) -> Plan:
    """Return the result of a sampler's `plan(schedule)` if it is a plan for that schedule.

    Raises:
        TypeError: `plan` is not a `Plan`.
        ValueError: `plan` is for another schedule.
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"sampler.plan must return a Plan, got {described(plan)}")
    if plan.schedule is not schedule and plan.schedule != schedule:
        raise ValueError(
            f"sampler.plan returned a plan for another schedule: {plan.schedule!r}, not "
            f"{schedule!r}"
        )
    return plan
