"""`Schedule`, the path that the noise takes, as an immutable value."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from schedalg.arrays import (
    Array,
    Namespace,
    handed_out,
    has_values,
    holds,
    is_array,
    list_of,
    namespace,
    requires_gradient,
    seen,
    to_host,
)
from schedalg.checks import described, integer, shown
from schedalg.frozen import without_assignment
from schedalg.libraries import Value
from schedalg.schedule import (
    constructors,
    continuous,
    costs,
    curve,
    discrete,
    double_double,
    errors,
    exports,
    interpolation,
    kl,
    notebook,
    path,
    plotting,
    posterior,
    serialization,
    spacing,
    training,
    transforms,
)
from schedalg.schedule.curve import Curve
from schedalg.schedule.double_double import DoubleDouble
from schedalg.schedule.hints import unknown_attribute
from schedalg.schedule.path import Kind
from schedalg.schedule.point import Point
from schedalg.schedule.selection import checked_indices
from schedalg.schedule.timesteps import (
    TimestepRule,
    following,
    take_timesteps,
    timesteps_at,
    timesteps_key,
)


@without_assignment
@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False, repr=False, kw_only=True)
class Schedule(Value):
    """A path of N noise levels, least noisy first, from an origin that is clean unless sliced.

    Made by one of its constructors (`Schedule.linear(1000)`, `Schedule.from_betas(...)`, ...), and
    never changed: every operation returns another schedule. Two schedules are equal when their
    points are, and what lies between these, to float64. What its properties and methods return is
    the caller's, who changes nothing with it; the attributes below are the schedule's own arrays.
    Those of NumPy are read-only, which NumPy lets their holder undo (`torch.compile` does so while
    it traces), and `torch.from_dlpack` and `torch.as_tensor` do not heed: copy before giving them
    away. (The class itself, called with these attributes, is for the library's own operations, and
    checks nothing.)

    Made of numbers that JAX traces, under `jax.jit` or `jax.vmap`, a schedule is what it is
    elsewhere, but nothing can be looked at: that the numbers are in order and in range is not
    checked, and the last point is taken to have signal left. Timesteps that follow from the noise
    are then traced too. What has to see numbers raises a TypeError: comparing and printing points,
    spacings by noise level, `at` and `refine`.

    Where a number, such as `sigma_max` or the factor of `shift`, is a tensor that requires a
    gradient, the schedule is on arrays of its library, and the gradient follows them. Timesteps are
    on the host, and carry none.

    Attributes:
        log_alpha_bar: log ᾱ of the origin and of the N points, in double-double precision: the one
            column that everything else is computed from (see `schedalg.schedule.path`).
        timestep_rule: The N timesteps, or the name or function by which they follow from the noise
            (see `schedalg.schedule.timesteps`).
        kind: How x is scaled along the path: `"vp"` (alpha² + sigma² = 1), `"ve"` (alpha = 1) or
            `"flow"` (alpha + sigma = 1).
        network_kind: The scale that the network was trained in. `as_vp`, `as_ve` and `as_flow`
            change `kind` alone, so that samplers scale the network's input back.
        origin_timestep: The origin's timestep; None where it is clean, or follows from the noise
            (which in traced schedules it does not).
        curve: What lies between the points, where these were chosen from more that have listed
            timesteps (see `schedalg.schedule.curve`); None where the points say it themselves.

    Example:
        >>> from schedalg import Schedule
        >>> base = Schedule.linear(1000)
        >>> fast = base.subsample(every=10)
        >>> len(fast), fast.timesteps[:4]
        (100, array([ 0, 10, 20, 30]))
        >>> bool(abs((1 - fast.to_betas()).prod() / base.to_alphas_cumprod()[990] - 1) < 1e-13)
        True
    """

    log_alpha_bar: DoubleDouble
    timestep_rule: TimestepRule
    kind: Kind
    network_kind: Kind
    origin_timestep: int | float | None = None
    curve: Curve | None = None
    _hash: int | None = field(init=False, default=None)
    _scales: tuple[Array, Array] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        rule = self.timestep_rule
        if isinstance(rule, np.ndarray):
            rule.setflags(write=False)
        if self.curve is not None:
            self._fit_curve(self.curve)
        for part in self.log_alpha_bar:
            if isinstance(part, np.ndarray):
                part.setflags(write=False)

    def _fit_curve(self, curve: Curve) -> None:
        """Give the curve the scales of the schedule; have none if timesteps follow from noise."""
        base = curve.base
        curve.places.flags.writeable = False
        if not isinstance(self.timestep_rule, np.ndarray):
            object.__setattr__(self, "curve", None)
        elif (base.kind, base.network_kind) != (self.kind, self.network_kind):
            base = replace(base, kind=self.kind, network_kind=self.network_kind)
            object.__setattr__(self, "curve", Curve(base, curve.places))

    # Constructors: each is a documented function that is given this class.
    linear = classmethod(discrete.linear)
    scaled_linear = classmethod(discrete.scaled_linear)
    cosine = classmethod(discrete.cosine)
    sigmoid = classmethod(discrete.sigmoid)
    laplace = classmethod(discrete.laplace)
    exp = classmethod(discrete.exp)
    karras = classmethod(continuous.karras)
    exponential = classmethod(continuous.exponential)
    polyexponential = classmethod(continuous.polyexponential)
    flow = classmethod(continuous.flow)
    from_betas = classmethod(constructors.from_betas)
    from_alphas_cumprod = classmethod(constructors.from_alphas_cumprod)
    from_alpha_bar = classmethod(constructors.from_alpha_bar)
    from_sigmas = classmethod(constructors.from_sigmas)
    from_flow_times = classmethod(constructors.from_flow_times)
    from_log_snr = classmethod(constructors.from_log_snr)
    from_dict = classmethod(serialization.from_dict)

    # Operations: each is a plain function of a schedule, and a method here.
    subsample = spacing.subsample
    compose = transforms.compose
    shift = transforms.shift
    rescale_zero_terminal_snr = transforms.rescale_zero_terminal_snr
    as_vp = transforms.as_vp
    as_ve = transforms.as_ve
    as_flow = transforms.as_flow
    round_timesteps = transforms.round_timesteps
    at = interpolation.at
    refine = interpolation.refine
    add_noise = training.add_noise
    target = training.target
    errors_from_losses = errors.errors_from_losses
    errors_on = errors.errors_on
    step_costs = kl.step_costs
    excess = kl.excess
    kl_costs = kl.kl_costs
    weight_costs = costs.weight_costs
    trajectory_costs = costs.trajectory_costs
    length_costs = costs.length_costs
    to_betas = exports.to_betas
    to_alphas = exports.to_alphas
    to_alphas_cumprod = exports.to_alphas_cumprod
    to_sigmas = exports.to_sigmas
    to_log_snr = exports.to_log_snr
    to_dict = serialization.to_dict
    plot = plotting.plot
    posterior_variance = property(posterior.variance)
    posterior_log_variance_clipped = property(posterior.log_variance_clipped)
    posterior_mean_coef1 = property(posterior.mean_coef1)
    posterior_mean_coef2 = property(posterior.mean_coef2)

    if not TYPE_CHECKING:  # for which there is nothing but what is written here

        def __getattr__(self, name: str) -> Any:
            raise unknown_attribute(self, name)

    def __len__(self) -> int:
        return int(self.log_alpha_bar.high.shape[0]) - 1

    def __iter__(self) -> Iterator[Point]:
        return iter(self._points()[1:])

    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> Point: ...
    @overload
    def __getitem__(self, key: slice | Sequence[int] | np.ndarray) -> "Schedule": ...
    def __getitem__(self, key: Any) -> "Point | Schedule":
        """Return a point, a stretch of the path, or a selection of points.

        `s[k]` is a `Point`; `s[-1]` is the noisiest. A slice `s[a:b]` is the stretch that starts
        where point a - 1 lies, so that `s[:k].compose(s[k:]) == s`; `s[a:b:step]` is
        `s[a:b][::step]`. A list or array of indices, or a boolean mask, selects points and keeps
        the origin: `s[[0, 3, 7]]` is `s.subsample(indices=[0, 3, 7])`.

        Raises:
            IndexError: A single index is out of range.
            ValueError: A list or mask does not fit (see `subsample`), or a slice steps backwards.
        """
        if isinstance(key, slice):
            return self._cut(key)
        listed = isinstance(key, Sequence) and not isinstance(key, str | bytes)
        if listed or (is_array(key) and key.ndim > 0):
            return self._select(checked_indices("index", key, len(self)))
        n, index = len(self), integer("index", key)
        if not -n <= index < n:
            raise IndexError(f"index {shown(index)} is out of range for a schedule of {n} points")
        k = index % n
        return self._stretch(k, k + 1)._points()[1]

    def _cut(self, key: slice) -> "Schedule":
        start, stop, step = key.indices(len(self))
        if step < 1:
            raise ValueError(
                f"slice step is {step}: a schedule runs from least to most noisy, use a step >= 1"
            )
        stop = max(start, stop)
        if step > 1:
            return self._select(np.arange(start, stop, step), start)
        part = _apart(self._stretch(start, stop))
        if self.curve is None:
            return part
        base, places = self.curve
        return replace(part, curve=curve.covering(base, places[start : stop + 1]))

    def _stretch(self, start: int, stop: int) -> "Schedule":
        """Return points start to stop - 1 after the one before them, as views, and no curve."""
        levels = double_double.take(self.log_alpha_bar, slice(start, stop + 1))
        return self._part(levels, slice(start, stop), start, None)

    def _select(self, index: np.ndarray, start: int = 0) -> "Schedule":
        """Return the points at strictly increasing indices, after the point before `start`."""
        place = np.empty(len(index) + 1, dtype=np.int64)
        place[0] = start
        np.add(index, 1, out=place[1:])
        levels = double_double.gather(self._xp, self.log_alpha_bar, place)
        places = 2 * place if self.curve is None else self.curve.places[place]
        return self._part(levels, index, start, curve.covering(curve.base_of(self), places))

    def _part(
        self,
        log_alpha_bar: DoubleDouble,
        index: slice | np.ndarray,
        start: int,
        curve: Curve | None,
    ) -> "Schedule":
        """Return points by index, after the point before `start`."""
        return type(self)(
            log_alpha_bar=log_alpha_bar,
            timestep_rule=take_timesteps(self.timestep_rule, index),
            kind=self.kind,
            network_kind=self.network_kind,
            origin_timestep=self._timestep_before(start),
            curve=curve,
        )

    def _timestep_before(self, start: int) -> Any:
        """Return the origin's timestep of a schedule that begins with point `start` of this one."""
        rule = self.timestep_rule
        if start == 0:
            return self.origin_timestep
        if isinstance(rule, np.ndarray):
            return rule[start - 1].item()
        seen = has_values(self.log_alpha_bar.high)
        return self.origin_timestep if seen else self.timesteps[start - 1]

    @property
    def starts_clean(self) -> bool:
        """Whether the origin is clean data.

        The numbers of a schedule that JAX traces are not known: there, the origin is clean data if
        `origin_timestep` is None.
        """
        origin = self.log_alpha_bar.high[:1]
        if isinstance(origin, np.ndarray):
            return not origin.item()
        return bool(holds(origin == 0, unseen=self.origin_timestep is None)[0])

    def _points(self) -> list[Point]:
        """Return the origin and every point."""
        alpha, sigma = scales_of(self)
        timesteps = [self._origin_timestep(), *list_of(self.timesteps)]
        columns = (alpha, sigma, *self.log_alpha_bar)
        if not requires_gradient(self.log_alpha_bar.high):
            columns = tuple(to_host(column).tolist() for column in columns)
        return [
            Point(columns[0][k], columns[1][k], t, DoubleDouble(columns[2][k], columns[3][k]))
            for k, t in enumerate(timesteps)
        ]

    def _origin_timestep(self) -> Any:
        rule = self.timestep_rule
        origin = double_double.take(self.log_alpha_bar, slice(0, 1))
        if isinstance(rule, np.ndarray):
            return self.origin_timestep
        if self.starts_clean:
            return None
        found = following(self._xp, origin, rule, self.network_kind)
        return found[0].item() if isinstance(found, np.ndarray) else found[0]

    def _key(self) -> tuple[object, ...]:
        rule: object = self.timestep_rule
        if isinstance(rule, np.ndarray):
            rule = timesteps_key(rule)
        high = to_host(self.log_alpha_bar.high).astype(np.float64, copy=False)
        high = high + 0.0  # -0.0 becomes 0.0
        between = None if self.curve is None else self.curve.base._key()
        return self.kind, self.network_kind, rule, self.origin_timestep, high.tobytes(), between

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        return self is other or self._key() == other._key()

    def __hash__(self) -> int:
        if self._hash is not None:
            return self._hash
        # Of a part of what it is equal by, where -0.0 becomes 0.0 as well.
        high = np.add(to_host(self.log_alpha_bar.high), 0.0, dtype=np.float64)
        value = hash((self.kind, self.network_kind, high.tobytes()))
        if self.is_constant:
            object.__setattr__(self, "_hash", value)
        return value

    def __sizeof__(self) -> int:
        """Return its bytes, those of its arrays and of its curve included."""
        arrays = [*self.log_alpha_bar, self.timestep_rule, *(self._scales or ())]
        between = 0 if self.curve is None else sys.getsizeof(self.curve.base)
        return between + object.__sizeof__(self) + sum(getattr(a, "nbytes", 0) for a in arrays)

    @property
    def is_constant(self) -> bool:
        """Whether it is equal by value for good: its arrays are NumPy's, and read-only."""
        return isinstance(self.log_alpha_bar.high, np.ndarray) and not callable(self.timestep_rule)

    def __repr__(self) -> str:
        kind: str = self.kind
        if self.network_kind != self.kind:
            kind += f" (network: {self.network_kind})"
        if len(self) == 0:
            return f"<Schedule {kind}: no points>"
        count = "1 point" if len(self) == 1 else f"{len(self)} points"
        if not has_values(self.log_alpha_bar.high):
            return f"<Schedule {kind}: {count}, traced>"
        log_snr = to_host(path.log_snr(self._xp, self.log_alpha_bar))
        after = "" if log_snr[0] == np.inf else f" after log SNR {log_snr[0]:.3f}"
        first, last = self.timesteps[0], self.timesteps[-1]
        return (
            f"<Schedule {kind}: {count}{after}, timesteps {first:.6g} … {last:.6g}, "
            f"log SNR {log_snr[1]:.3f} … {log_snr[-1]:.3f}>"
        )

    _repr_html_ = notebook.html

    def __copy__(self) -> "Schedule":
        return self

    def __deepcopy__(self, memo: object) -> "Schedule":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, so that the arrays of what is restored are read-only as well.
        values = (
            self.log_alpha_bar,
            self.timestep_rule,
            self.kind,
            self.network_kind,
            self.origin_timestep,
            self.curve,
        )
        return _restore, values

    @property
    def _xp(self) -> Namespace:
        return namespace(self.log_alpha_bar.high)

    @property
    def timesteps(self) -> np.ndarray:
        """The timestep of each point: a read-only NumPy array, (N,).

        Where timesteps follow from noise levels that are traced, they are a traced array.
        """
        if isinstance(self.timestep_rule, np.ndarray):
            return handed_out(self.timestep_rule)
        values: np.ndarray = timesteps_at(
            self._xp, self.log_alpha_bar, self.timestep_rule, self.network_kind
        )
        return handed_out(values) if isinstance(values, np.ndarray) else values

    @property
    def origin(self) -> Point:
        """Where the last sampling step arrives: clean data, or the point before a slice."""
        origin = double_double.take(self.log_alpha_bar, slice(0, 1))
        scales = path.alpha_sigma(self._xp, origin, self.kind)
        columns = (*scales, *origin)
        if requires_gradient(origin.high):
            alpha, sigma, high, low = (column[0] for column in columns)
        else:
            alpha, sigma, high, low = (to_host(column)[0].item() for column in columns)
        return Point(alpha, sigma, self._origin_timestep(), DoubleDouble(high, low))

    @property
    def alpha(self) -> Array:
        """Signal scale at each point, (N,)."""
        return self._scale(0)

    @property
    def sigma(self) -> Array:
        """Noise scale at each point, (N,); on a flow that is t. See also `to_sigmas`."""
        return self._scale(1)

    def _scale(self, which: int) -> Array:
        if isinstance(self.log_alpha_bar.high, np.ndarray):
            return handed_out(scales_of(self)[which][1:])
        # A gradient must not pass the origin, where the square root has none.
        return path.alpha_sigma(self._xp, path.inner(self.log_alpha_bar), self.kind)[which]

    @property
    def prior_std(self) -> float:
        """Standard deviation of the Gaussian that sampling starts from.

        1 on a variance-preserving schedule, sigma at the noisiest point on the others.
        """
        if len(self) == 0:
            raise ValueError("an empty schedule has no noisiest point, and so no prior")
        if self.kind == "vp":
            return 1.0
        std: float = seen(self.sigma)[-1]
        return float(std) if has_values(std) else std


def _restore(
    log_alpha_bar: DoubleDouble,
    timestep_rule: TimestepRule,
    kind: Kind,
    network_kind: Kind,
    origin_timestep: int | float | None,
    curve: Curve | None,
) -> Schedule:
    return Schedule(
        log_alpha_bar=log_alpha_bar,
        timestep_rule=timestep_rule,
        kind=kind,
        network_kind=network_kind,
        origin_timestep=origin_timestep,
        curve=curve,
    )


def _apart(schedule: Schedule) -> Schedule:
    """Return a schedule in memory of its own: torch.compile takes no view of what is read-only."""
    if not isinstance(schedule.log_alpha_bar.high, np.ndarray):
        return schedule
    levels, rule = schedule.log_alpha_bar, schedule.timestep_rule
    return replace(
        schedule,
        log_alpha_bar=DoubleDouble(levels.high.copy(), levels.low.copy()),
        timestep_rule=rule.copy() if isinstance(rule, np.ndarray) else rule,
    )


def scales_of(schedule: Schedule) -> tuple[Array, Array]:
    """Return alpha and sigma at the origin and at every point; computed once, if read-only."""
    if schedule._scales is not None:
        return schedule._scales
    xp = namespace(schedule.log_alpha_bar.high)
    scales = path.alpha_sigma(xp, schedule.log_alpha_bar, schedule.kind)
    if xp is np:
        for array in scales:
            array.flags.writeable = False
        object.__setattr__(schedule, "_scales", scales)
    return scales


def check_schedule(schedule: object, name: str = "schedule") -> None:
    """Raise unless the value is a schedule.

    Raises:
        TypeError: It is not a schedule.
    """
    if not isinstance(schedule, Schedule):
        raise TypeError(
            f"{name} must be a Schedule, as Schedule.linear(1000) is; got {described(schedule)}"
        )
