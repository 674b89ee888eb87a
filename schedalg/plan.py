"""`Plan`, a sampler compiled for one schedule: a table with a row for each call of the network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np

from schedalg import execution
from schedalg.arrays import Array, carries_gradient, namespace, real_number, to_host
from schedalg.bounds import Clip
from schedalg.labels import canonical
from schedalg.model import Denoiser, Model, read_columns
from schedalg.noise import NoiseSource
from schedalg.parameterization import Parameterization, Prediction, parameterization
from schedalg.schedule import Schedule
from schedalg.steps import Steps, beside, column_levels

#: What a row remembers for later rows: the x0 prediction, the noise prediction that follows from
#: it, or any (m_x, m_d).
Memory: TypeAlias = Literal["x0", "epsilon"] | tuple[Any, Any]


class Levels(NamedTuple):
    """The noise levels at which a plan calls the network, one a row, in the scale of the path.

    Attributes:
        timesteps: What the network is told, (K,), a NumPy array.
        alpha: Signal scale, (K,).
        sigma: Noise scale, (K,).

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Levels, Plan, Schedule
        >>> s = Schedule.karras(3)
        >>> plan = DDIM().plan(s)
        >>> told = Levels(np.log(s.timesteps[::-1]) / 4, plan.alpha, plan.sigma)
        >>> Plan.of(s, a=plan.a, b=plan.b, levels=told).timesteps.round(3)
        array([ 1.096,  0.231, -1.554])
    """

    timesteps: np.ndarray
    alpha: Array
    sigma: Array


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

    _FLOATS: ClassVar[tuple[str, ...]] = (
        *("alpha", "sigma", "c_in", "c_x", "c_out", "m_x", "m_d", "a", "b", "c", "log_variance"),
    )

    def __post_init__(self) -> None:
        for name in ("step", "timesteps", *self._FLOATS):
            column = getattr(self, name)
            if isinstance(column, np.ndarray):
                column.flags.writeable = False

    @classmethod
    def of(
        cls,
        schedule: Schedule,
        *,
        a: Array,
        b: Array,
        c: Array | None = None,
        memory: Memory = "x0",
        levels: Levels | None = None,
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
            levels: Where the network is called, K of them; by default at the schedule's points,
                the noisiest first.
            step: (K,), the step that each row belongs to, rising; by default each its own.
            log_variance: (K, 2), the bounds of a learned log-variance.
            start: (scale, noise), what happens to x before the first row.

        Raises:
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
        high = column_levels(schedule).high
        xp = namespace(high)
        if levels is None:
            levels = schedule_levels(schedule)
        rows = len(levels.timesteps)

        def column(values: Any) -> Array:
            if not carries_gradient(high) and not carries_gradient(values):
                return np.array(to_host(values), dtype=np.float64)
            values = beside(high, values) if isinstance(values, np.ndarray) else values
            return xp.astype(values, high.dtype, copy=False)

        zeros, ones = np.zeros(rows), np.ones(rows)
        alpha, sigma = column(levels.alpha), column(levels.sigma)
        noisy = to_host(sigma) > 0
        if not noisy.all():
            row = int(np.argmin(noisy))
            raise ValueError(f"sigma[{row}] is {to_host(sigma)[row]}: no network is called there")
        if isinstance(memory, tuple):
            m_x, m_d = memory
        elif memory == "epsilon":
            m_x, m_d = 1 / sigma, -alpha / sigma
        elif memory == "x0":
            m_x, m_d = zeros, ones
        else:
            raise ValueError(f"memory must be 'x0', 'epsilon' or (m_x, m_d); got {memory!r}")
        b = column(b)
        columns = {
            "m_x": column(m_x),
            "m_d": column(m_d),
            "a": column(a),
            "b": b if b.ndim == 2 and rows else xp.reshape(b, (-1, 1)),
            "c": column(zeros if c is None else c),
            "log_variance": None if log_variance is None else column(log_variance),
        }
        step = np.arange(rows) if step is None else np.array(step, dtype=np.int64)
        _check_rows(rows, step, alpha, sigma, columns)
        plan = cls(
            schedule=schedule,
            step=step,
            timesteps=canonical(np.array(levels.timesteps)),
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
        reading = parameterization(prediction)
        columns = read_columns(reading, self.schedule, self.alpha, self.sigma)
        c_in, c_x, c_out = (self._filled(column) for column in columns)
        return replace(self, c_in=c_in, c_x=c_x, c_out=c_out)

    def _filled(self, values: Any) -> Array:
        """Return a number or an array as a whole column."""
        if isinstance(self.alpha, np.ndarray):
            return np.full(len(self), values, dtype=np.float64)
        xp = namespace(self.alpha)
        return xp.zeros_like(self.alpha) + values

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
        walk = execution.walk(
            self,
            model,
            x,
            prediction=prediction,
            clip=clip,
            noise=noise,
            check_finite=check_finite,
            model_kwargs=model_kwargs,
        )
        return execution.last(walk, x)

    def reversed(self) -> "Plan":
        """Return the table walked the other way: from the schedule's origin to its noisiest point.

        x_s = a x_t + b d becomes x_t = (x_s - b d) / a, with the network called at s, where x now
        is. Clean data count as alpha times themselves at the least noisy point, since no network
        can be called where there is no noise. So `DDIM().plan(s).reversed().run(model, image)` is
        the inversion of DDIM: the noise from which sampling returns to the image.

        Raises:
            ValueError: The plan adds noise, remembers earlier predictions or has several stages.

        Example:
            >>> from schedalg import DDIM, Schedule
            >>> plan = DDIM().plan(Schedule.linear(1000).subsample(steps=5))
            >>> plan.timesteps, plan.reversed().timesteps
            (array([800, 600, 400, 200,   0]), array([  0, 200, 400, 600]))

        Source: Song et al., arXiv 2010.02502, section 4.3; Dhariwal and Nichol, arXiv 2105.05233,
        appendix F.
        """
        host_c, host_a = to_host(self.c), to_host(self.a)
        plain = self.b.shape[1] == 1 and (np.diff(self.step) == 1).all()
        plain &= (to_host(self.m_x) == 0).all() and (to_host(self.m_d) == 1).all()
        if not plain or host_c.any() or self.start[1] or self.log_variance is not None:
            raise ValueError(
                "only a plan without noise, memory and stages can be walked the other way, such as "
                "those of DDIM() and Euler()"
            )
        xp, origin, rows = namespace(self.alpha), self.schedule.origin, len(self)
        clean = rows > 0 and host_a[-1] == 0
        if rows and not clean and origin.timestep is None:
            raise ValueError("the schedule's origin has no timestep at which to call the network")

        def turned(values: Array, first: Any) -> Array:
            """Return the column at the points that the rows arrive at, the origin first."""
            first = beside(self.alpha, [] if clean or not rows else [first])
            return xp.concat([first, xp.flip(values[1:])])

        a = xp.flip(self.a[: rows - clean])
        b = xp.flip(self.b[: rows - clean, :], axis=0)
        told = [] if clean or not rows else [origin.timestep]
        return Plan.of(
            self.schedule,
            a=1 / a,
            b=-b / xp.reshape(a, (-1, 1)),
            levels=Levels(
                np.array([*told, *self.timesteps[:0:-1].tolist()]),
                turned(self.alpha, origin.alpha),
                turned(self.sigma, origin.sigma),
            ),
            start=(self.alpha[-1] if clean else 1.0, 0.0),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as numbers, strings and lists that JSON holds without loss.

        Example:
            >>> import json
            >>> from schedalg import DDIM, Plan, Schedule
            >>> plan = DDIM().plan(Schedule.flow(4))
            >>> Plan.from_dict(json.loads(json.dumps(plan.to_dict(), allow_nan=False))) == plan
            True
        """
        columns: dict[str, Any] = {
            name: None if (column := getattr(self, name)) is None else _listed(to_host(column))
            for name in self._FLOATS
        }
        return {
            "type": "schedalg.Plan",
            "version": 1,
            "schedule": self.schedule.to_dict(),
            "step": self.step.tolist(),
            "timesteps": self.timesteps.tolist(),
            "start": [
                float(to_host(value)) if carries_gradient(value) else float(value)
                for value in self.start
            ],
            **columns,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Plan":
        """Return the plan that `to_dict` wrote, on NumPy arrays.

        Raises:
            TypeError: The data is no mapping, or holds something of the wrong type.
            ValueError: It is not what `to_dict` writes.

        Example:
            >>> from schedalg import DDPM, Plan, Schedule
            >>> plan = DDPM().plan(Schedule.linear(10))
            >>> Plan.from_dict(plan.to_dict()) == plan
            True
        """
        if not isinstance(data, Mapping):
            raise TypeError(f"data must be a mapping, got {type(data).__name__}")
        if data.get("type") != "schedalg.Plan" or data.get("version") != 1:
            raise ValueError(
                "data must be what Plan.to_dict() returns, version 1; got type "
                f"{data.get('type')!r}, version {data.get('version')!r}"
            )
        keys = ("schedule", "step", "timesteps", "start", *cls._FLOATS)
        if missing := [key for key in keys if key not in data]:
            raise ValueError(f"data lacks {missing}")
        columns: dict[str, Any] = {
            name: None if data[name] is None and name == "log_variance" else _floats(name, data)
            for name in cls._FLOATS
        }
        timesteps, step = _floats("timesteps", data), _floats("step", data)
        start = _floats("start", data)
        if start.shape != (2,) or not np.isfinite(start).all():
            raise ValueError(f"start must be two numbers, (scale, noise); got {data['start']!r}")
        for name in ("c_in", "c_x", "c_out"):
            if columns[name].shape != timesteps.shape:
                raise ValueError(f"{name} must have {len(timesteps)} rows, as timesteps")
        plan = cls.of(
            Schedule.from_dict(data["schedule"]),
            a=columns["a"],
            b=columns["b"],
            c=columns["c"],
            memory=(columns["m_x"], columns["m_d"]),
            levels=Levels(timesteps, columns["alpha"], columns["sigma"]),
            step=step.astype(np.int64),
            log_variance=columns["log_variance"],
            start=(start[0].item(), start[1].item()),
        )
        return replace(plan, **{name: columns[name] for name in ("c_in", "c_x", "c_out")})

    def _key(self) -> tuple[object, ...]:
        columns = []
        for name in self._FLOATS:
            column = getattr(self, name)
            if column is not None:
                host = to_host(column).astype(np.float64) + 0.0  # -0.0 becomes 0.0
                column = (host.shape, host.tobytes())
            columns.append(column)
        told = (self.timesteps.dtype.str, self.timesteps.tobytes(), self.step.tobytes())
        start = tuple(float(to_host(v)) if carries_gradient(v) else float(v) for v in self.start)
        return self.schedule, told, start, *columns

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        return self is other or self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        steps = len(np.unique(self.step))
        return f"<Plan: {len(self)} model calls in {steps} steps of {self.schedule!r}>"

    def __str__(self) -> str:
        """Return the table, aligned. Columns that say nothing (no memory but x0) are left out."""
        scale, noise = (float(to_host(v)) if carries_gradient(v) else v for v in self.start)
        start = ("x" if scale == 1 else f"{scale:.6g} x") + (f" + {noise:.6g} z" if noise else "")
        head = (
            f"plan of {len(self)} model calls in {len(np.unique(self.step))} steps, start: {start}"
        )
        columns = {
            "row": [str(k) for k in range(len(self))],
            "step": [str(k) for k in self.step],
            "timestep": [f"{t:.6g}" for t in self.timesteps],
        }
        for name in self._FLOATS:
            if getattr(self, name) is None:
                continue
            values = to_host(getattr(self, name))
            if name in ("m_x", "m_d") and (values == (name == "m_d")).all():
                continue
            names = [name] if values.ndim == 1 else [f"{name}{j}" for j in range(values.shape[1])]
            for title, column in zip(names, np.reshape(values, (len(self), -1)).T, strict=True):
                columns[title] = [f"{value:.6g}" for value in column]
        widths = [max(map(len, [name, *cells])) for name, cells in columns.items()]
        lines = [list(columns), *zip(*columns.values(), strict=True)]
        return "\n".join([head, *(" ".join(map(str.rjust, line, widths)) for line in lines)])

    def __copy__(self) -> "Plan":
        return self

    def __deepcopy__(self, memo: object) -> "Plan":
        return self


def schedule_levels(schedule: Schedule) -> Levels:
    """Return the points of a schedule, the noisiest first."""
    steps = Steps.of(schedule)
    return Levels(schedule.timesteps[::-1], steps.alpha_t, steps.sigma_t)


def _check_rows(
    rows: int, step: np.ndarray, alpha: Array, sigma: Array, columns: dict[str, Array]
) -> None:
    """Raise unless the columns make a table of that many rows.

    Raises:
        ValueError: They do not.
    """
    if step.shape != (rows,) or (np.diff(step) < 0).any() or (rows and step[0] < 0):
        raise ValueError(f"step must be {rows} rising integers, one a row; got {step.tolist()}")
    for name, column in {"alpha": alpha, "sigma": sigma, **columns}.items():
        if column is None:
            continue
        expected = {"b": f"({rows}, m)", "log_variance": f"({rows}, 2)"}.get(name, f"({rows},)")
        shape = tuple(column.shape)
        wide = {"b": 2, "log_variance": 2}.get(name, 1)
        fits = len(shape) == wide and shape[0] == rows and (name != "log_variance" or shape[1] == 2)
        if not fits:
            raise ValueError(f"{name} must have shape {expected}, a row a call; got {shape}")
        host = to_host(column)
        if not np.isfinite(host).all():
            row = int(np.argwhere(~np.isfinite(host))[0, 0])
            raise ValueError(f"{name}[{row}] is {host[row].tolist()!r}: it must be finite")
    reach = to_host(columns["b"])
    early = np.triu(np.ones(reach.shape, dtype=bool), 1) & (reach != 0)
    if early.any():
        row = int(np.argwhere(early)[0, 0])
        raise ValueError(
            f"b[{row}] is {reach[row].tolist()}: row {row} has {row} rows before it to remember"
        )


def _listed(values: np.ndarray) -> list[Any]:
    """Return nested lists of numbers, with what JSON lacks as text."""
    if values.ndim > 1:
        return [_listed(row) for row in values]
    return [v if math.isfinite(v) else str(v) for v in values.astype(np.float64).tolist()]


def _floats(name: str, data: Mapping[str, Any]) -> np.ndarray:
    """Return the lists that `_listed` made as an array again."""

    def read(value: Any, place: str) -> Any:
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [read(entry, f"{place}[{i}]") for i, entry in enumerate(value)]
        if value in ("inf", "-inf", "nan"):
            return float(value)
        return real_number(place, value)

    if not isinstance(data[name], Sequence) or isinstance(data[name], str):
        raise TypeError(f"{name} must be a list of numbers, got {data[name]!r}")
    try:
        return np.array(read(data[name], name), dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{name} must be a table of numbers: {error}") from None
