"""`Plan`, a sampler compiled for one schedule: a table with a row for each call of the network."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from schedalg.arrays import Array, namespace, to_host
from schedalg.checks import described, host_numbers
from schedalg.network.bounds import Clip
from schedalg.network.denoiser import Denoiser
from schedalg.network.model import Model
from schedalg.network.reading import read_columns
from schedalg.parameterization import (
    Parameterization,
    Prediction,
    parameterization,
)
from schedalg.plan import inversion, text
from schedalg.plan.columns import (
    FLOATS,
    Evaluations,
    check_rows,
    checked_column,
    checked_start,
    host_start,
    require_finite,
    schedule_evaluations,
)
from schedalg.plan.steps import column_log_alpha_bar
from schedalg.running import execution
from schedalg.running.noise import NoiseSource
from schedalg.schedule import Schedule, check_schedule
from schedalg.schedule.timesteps import canonical_timesteps

#: What a row remembers for later rows: the x0 prediction, the noise prediction that follows from
#: it, or any (m_x, m_d).
Memory: TypeAlias = Literal["x0", "epsilon"] | tuple[Any, Any]


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Plan:
    """A table that says all of a sampler but the network: K rows, one for each call of it.

    Row k calls the network at the noise level (`alpha`, `sigma`) and moves x on:

        denoised = c_x x + c_out model(c_in x, timestep)
        memory_k = m_x x + m_d denoised
        x        = a x + Σ_j b_j memory_{k-j} + c z

    with z standard normal. The memory is the x0 prediction itself (m_x = 0, m_d = 1), or a slope
    such as the noise prediction, as the method wants it. Where the network says how much noise to
    add (`log_variance` is not None), c z is c exp(l / 2) z, with l between the two bounds: at the
    lower where the network's second half of channels is -1, at the upper where it is 1.

    Made by a sampler's `plan(schedule)`, or by `Plan.of` in a sampler of your own. Columns are
    read-only float64 NumPy arrays; where a gradient flows through the schedule, arrays of its own
    library. Two plans are equal when their schedules and all columns are.

    Attributes:
        schedule: What the plan was compiled for.
        step: Which step the row belongs to, 0 first; a method of several stages has several rows
            of one step. After the last of them x is at the point that the step reaches.
        timesteps: What the network is told.
        alpha: Signal scale at the point evaluated.
        sigma: Noise scale at the point evaluated.
        c_in: Scale of the network's input.
        c_x: Coefficient of x in the denoised prediction; infinite or NaN where the network's output
            does not determine it, which `run` raises for.
        c_out: Coefficient of the network's output in it.
        m_x: Coefficient of x in what is remembered.
        m_d: Coefficient of the denoised prediction in what is remembered.
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
        row step timestep    alpha    sigma c_in     c_x      c_out         a       b0 c
          0    0      666 0.104806 0.994493    1 9.54147   -9.48892  0.830026 0.477477 0
          1    1      333 0.564469 0.825455    1 1.77158   -1.46236 0.0121145 0.993112 0
          2    2        0  0.99995     0.01    1 1.00005 -0.0100005         0        1 0
    """

    schedule: Schedule
    step: np.ndarray
    timesteps: np.ndarray
    alpha: Array
    sigma: Array
    c_in: Array
    c_x: Array
    c_out: Array
    m_x: Array
    m_d: Array
    a: Array
    b: Array
    c: Array
    log_variance: Array | None = None
    start: tuple[Any, Any] = (1.0, 0.0)
    _kept: dict[Hashable, tuple[object, Any]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("step", "timesteps", *FLOATS):
            values = getattr(self, name)
            if isinstance(values, np.ndarray):
                if values.flags.writeable or values.base is not None:
                    values = values.copy()
                    object.__setattr__(self, name, values)
                values.flags.writeable = False
        object.__setattr__(self, "start", checked_start(self.start))

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
        """Return the plan with these coefficients, for a network that predicts epsilon.

        Args:
            schedule: What the plan is for.
            a: (K,), the coefficient of x in each row, the noisiest first.
            b: (K, m), or (K,) where m is 1: the coefficients of the last memories, newest first.
            c: (K,), the coefficient of the noise; None: no noise.
            memory: What a row remembers: "x0", "epsilon", or (m_x, m_d).
            evaluations: Where the network is called, K of them; by default at the schedule's points,
                the noisiest first.
            step: (K,), the step that each row belongs to, rising; by default each its own.
            log_variance: (K, 2), the bounds of a learned log-variance.
            start: (scale, noise), what happens to x before the first row.

        Raises:
            TypeError: A column holds no real numbers, or an argument is of the wrong type.
            ValueError: A column has not K rows, a coefficient is not finite, a row reaches back to
                memories before the first, or `step` falls.

        Example:
            >>> from schedalg import DDIM, Plan, Schedule, Steps
            >>> s = Schedule.linear(1000).subsample(steps=5)
            >>> steps = Steps.of(s)
            >>> euler = Plan.of(s, a=steps.sigma_s / steps.sigma_t, b=steps.alpha_s * steps.rise)
            >>> euler == DDIM().plan(s)
            True
        """
        check_schedule(schedule)
        high = column_log_alpha_bar(schedule).high
        if evaluations is None:
            evaluations = schedule_evaluations(schedule)
        if not isinstance(evaluations, Evaluations):
            raise TypeError(f"evaluations must be Evaluations, got {described(evaluations)}")
        timesteps = host_numbers("evaluations.timesteps", evaluations.timesteps)
        rows = len(timesteps)
        require_finite("evaluations.timesteps", timesteps)
        zeros, ones = np.zeros(rows), np.ones(rows)
        alpha, sigma = (
            checked_column("alpha", evaluations.alpha, high),
            checked_column("sigma", evaluations.sigma, high),
        )
        for name, scale, allowed in (("alpha", alpha, alpha >= 0), ("sigma", sigma, sigma > 0)):
            host = to_host(allowed)
            if not host.all():
                row = int(np.argmin(host))
                raise ValueError(
                    f"{name}[{row}] is {to_host(scale)[row]}: a network is called where alpha is "
                    "at least 0, and sigma above 0"
                )
        if isinstance(memory, tuple) and len(memory) == 2:
            m_x, m_d = memory
        elif isinstance(memory, str) and memory == "epsilon":
            m_x, m_d = 1 / sigma, -alpha / sigma
        elif isinstance(memory, str) and memory == "x0":
            m_x, m_d = zeros, ones
        else:
            raise ValueError(
                f"memory must be 'x0', 'epsilon' or (m_x, m_d); got {described(memory)} {memory!r}"
            )
        table = checked_column("b", b, high)
        if table.ndim == 1:
            table = namespace(table).reshape(table, (-1, 1))
        table = table if rows else table[:, :1]  # a list of no rows would not tell how wide it is
        columns = {
            "m_x": checked_column("m_x", m_x, high),
            "m_d": checked_column("m_d", m_d, high),
            "a": checked_column("a", a, high),
            "b": table,
            "c": checked_column("c", zeros if c is None else c, high),
            "log_variance": None
            if log_variance is None
            else checked_column("log_variance", log_variance, high),
        }
        numbers = np.arange(rows) if step is None else host_numbers("step", step)
        if numbers.size and numbers.dtype.kind != "i":
            raise TypeError(f"step must hold integers, got dtype {numbers.dtype}")
        check_rows(rows, numbers, alpha, sigma, columns)
        plan = cls(
            schedule=schedule,
            step=numbers.astype(np.int64),
            timesteps=canonical_timesteps(timesteps),
            alpha=alpha,
            sigma=sigma,
            c_in=ones,
            c_x=zeros,
            c_out=ones,
            start=start,
            **columns,
        )
        return plan.for_prediction("epsilon")

    def for_prediction(self, prediction: Prediction | Parameterization) -> "Plan":
        """Return the plan for a network whose output means something else.

        Args:
            prediction: A name such as "v", or a `Parameterization`.

        Raises:
            ValueError: It is unknown.

        Example:
            >>> from schedalg import DDIM, Schedule
            >>> DDIM().plan(Schedule.linear(10)).for_prediction("x0").c_out[:2]
            array([1., 1.])
        """
        if isinstance(prediction, str):
            plan: Plan = self.kept(("for", prediction), lambda: self._for(prediction))
            return plan
        return self._for(prediction)

    def _for(self, prediction: Prediction | Parameterization) -> "Plan":
        reading = parameterization(prediction)
        columns = read_columns(reading, self.schedule, self.alpha, self.sigma)
        c_in, c_x, c_out = (
            self._filled(name, column)
            for name, column in zip(("c_in", "c_x", "c_out"), columns, strict=True)
        )
        return replace(self, c_in=c_in, c_x=c_x, c_out=c_out)

    def _filled(self, name: str, values: Any) -> Array:
        """Return what a function of a parameterization returned, as a whole column."""
        if isinstance(self.alpha, np.ndarray):
            values = np.asarray(values)
            if values.dtype.kind not in "iuf" or values.shape not in ((), (len(self),)):
                raise TypeError(
                    f"{name} of the parameterization must return a number, or one for each of "
                    f"{len(self)}; got {described(values)}"
                )
            return np.full(len(self), values, dtype=np.float64)
        xp = namespace(self.alpha)
        return xp.zeros_like(self.alpha) + values

    def kept(self, key: Hashable, make: Callable[[], Any], version: object = None) -> Any:
        """Return what `make()` returns, which follows from the columns, and keep it for the next.

        Not kept where the columns are of a library whose arrays can be written to.

        Args:
            key: What it is.
            make: Makes it.
            version: Beside the columns, what it follows from; only the last version is kept.
        """
        if not isinstance(self.a, np.ndarray):
            return make()
        found = self._kept.get(key)
        if found is None or found[0] != version:
            found = self._kept[key] = version, make()
        return found[1]

    def __len__(self) -> int:
        return len(self.timesteps)

    @property
    def model_calls(self) -> int:
        """How often the network is called: the number of rows."""
        return len(self)

    def run(
        self,
        model: Model | Denoiser,
        x: Array,
        *,
        prediction: Prediction | Parameterization | None = None,
        clip: Clip | None = None,
        noise: NoiseSource = None,
        check_finite: bool = False,
        **model_kwargs: Any,
    ) -> Array:
        """Return x after the last row.

        Args:
            model: The network, called as `model(x, timesteps, **model_kwargs)`; or a `Denoiser` of
                the plan's schedule.
            x: (B, ...), at the noise level of the first row.
            prediction: What the network's output means. None: what the plan's columns say, epsilon
                unless `for_prediction` made the plan.
            clip: (low, high) for the x0 prediction, or a function of it.
            noise: As in `sample`.
            check_finite: As in `sample`.
            **model_kwargs: Handed to the network in every call.

        Returns:
            An array like x.

        Raises:
            TypeError: As `sample`.
            ValueError: As `sample`; or the denoiser is for another schedule.

        Example:
            >>> import numpy as np
            >>> from schedalg import DDIM, Schedule, sample
            >>> s, x = Schedule.linear(1000).subsample(steps=5), np.ones((1, 2))
            >>> model = lambda x, timesteps: np.tanh(x)
            >>> bool((DDIM().plan(s).run(model, x) == sample(model, s, DDIM(), x)).all())
            True
        """
        meaning = execution.Meaning(prediction, clip, check_finite, model_kwargs)
        return execution.last(execution.walk(self, model, x, meaning, noise, reuse=True), x)

    reversed = inversion.reversed_plan
    to_dict = text.to_dict
    from_dict = classmethod(text.from_dict)

    def _key(self) -> tuple[object, ...]:
        columns = []
        for name in FLOATS:
            column = getattr(self, name)
            if column is not None:
                host = to_host(column).astype(np.float64) + 0.0  # -0.0 becomes 0.0
                column = (host.shape, host.tobytes())
            columns.append(column)
        told = (self.timesteps.dtype.str, self.timesteps.tobytes(), self.step.tobytes())
        return self.schedule, told, host_start(self.start), *columns

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        return self is other or self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        steps = len(np.unique(self.step))
        return f"<Plan: {len(self)} model calls in {steps} steps of {self.schedule!r}>"

    __str__ = text.table

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
    """Return the names of what a plan is constructed with."""
    return [field.name for field in fields(Plan) if field.init]


def check_plan(plan: object, schedule: Schedule) -> Plan:
    """Return what a sampler's `plan(schedule)` returned.

    Raises:
        TypeError: It is no plan.
        ValueError: It is one for another schedule.
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"sampler.plan must return a Plan, got {described(plan)}")
    if plan.schedule is not schedule and plan.schedule != schedule:
        raise ValueError(
            f"sampler.plan returned a plan for another schedule: {plan.schedule!r}, not "
            f"{schedule!r}"
        )
    return plan
