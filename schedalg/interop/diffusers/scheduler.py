"""`to_diffusers`: a schedule and a sampler as a scheduler for pipelines of diffusers."""

import math
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from schedalg.arrays import to_host
from schedalg.checks import flag, positive_integer, real_number, shown
from schedalg.interop.diffusers import flow
from schedalg.interop.diffusers.request import falling
from schedalg.interop.diffusers.tables import State, Table
from schedalg.interop.diffusers.trained import on_curve
from schedalg.network.bounds import Clip, bounding
from schedalg.parameterization import Parameterization, Prediction, parameterization
from schedalg.samplers.protocols import Sampler
from schedalg.schedule import Schedule, check_schedule
from schedalg.schedule.spacing import IndexSpacing, NoiseSpacing
from schedalg.schedule.timesteps import named

if TYPE_CHECKING:
    from torch import Tensor

_NAMES = {"epsilon": "epsilon", "x0": "sample", "v": "v_prediction", "flow": "flow_prediction"}
#: Options of `step` that pipelines pass to every scheduler, and the values that have no effect.
_STEP_OPTIONS: dict[str, tuple[Any, ...]] = {
    "eta": (None, 0.0),
    "use_clipped_model_output": (None, False),
    "variance_noise": (None,),
    "s_churn": (0.0,),
    "s_tmin": (0.0,),
    "s_tmax": (math.inf,),
    "s_noise": (1.0,),
}


class StepOutput(NamedTuple):
    """The result of `DiffusersScheduler.step`.

    Attributes:
        prev_sample: x after the step.
    """

    prev_sample: Any


def to_diffusers(
    schedule: Schedule,
    sampler: Sampler,
    *,
    prediction: Prediction | Parameterization = "epsilon",
    clip: Clip | None = None,
    spacing: IndexSpacing | NoiseSpacing = "leading",
    dynamic_shift: bool = False,
) -> "DiffusersScheduler":
    """Return a scheduler for pipelines of diffusers.

    Args:
        schedule: The schedule from which `num_inference_steps` points are selected. If that is the
            number of its points, all of them are visited.
        sampler: Any sampler with a table; or a sampler without one that calls the network once a
            step, where the step starts.
        prediction: What the network predicts.
        clip: (low, high) for the x0 prediction, or a function of it.
        spacing: How points are selected, as in `Schedule.subsample`.
        dynamic_shift: Whether the `mu` of a pipeline shifts the selected points, by
            `shift(exp(mu))`. Otherwise `mu` is ignored.

    Returns:
        The scheduler.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument has a wrong value.

    Example:
        >>> from schedalg import DDIM, Schedule
        >>> from schedalg.interop.diffusers import to_diffusers
        >>> scheduler = to_diffusers(Schedule.linear(1000), DDIM())
        >>> scheduler.order, scheduler.init_noise_sigma
        (1, 1.0)
    """
    return DiffusersScheduler(schedule, sampler, prediction, clip, spacing, dynamic_shift)


class DiffusersScheduler:
    """A scheduler for pipelines that stores the state of each run separately.

    `set_timesteps` selects the points for new runs; it does not affect runs in progress. `step`
    advances a run by one call of the network. It recognizes the run by the tensor `sample`: if that
    is the very tensor that `step` returned last for a run, that run continues. So any number of
    runs can be interleaved. A tensor that `step` did not return

    - starts a new run, if it is the first since `set_timesteps`, or if its timestep is the first;
    - otherwise continues the run that was stepped last, if the timestep is the next one of that
      run. Some pipelines need this, since they copy or blend the tensor. These cannot be
      interleaved.

    A run can start later than at the first timestep, by `set_begin_index` or simply with a later
    timestep. A multistep method then starts there with lower orders.
    """

    def __init__(
        self,
        schedule: Schedule,
        sampler: Any,
        prediction: Any,
        clip: Any,
        spacing: Any,
        dynamic_shift: bool,
    ) -> None:
        check_schedule(schedule)
        if isinstance(sampler, type) or not any(
            callable(getattr(sampler, method, None)) for method in ("plan", "step")
        ):
            raise TypeError(f"sampler must be a sampler, such as DDIM(); got {shown(sampler)}")
        parameterization(prediction)
        bounding(clip)
        self.base = schedule
        self.sampler = sampler
        self.prediction = prediction
        self.clip = clip
        self.spacing = spacing
        self.dynamic_shift = flag("dynamic_shift", dynamic_shift)
        self.num_inference_steps: int | None = None
        self._table: Table | None = None
        self._device: Any = None
        self._timesteps: Any = None
        self._begin: int | None = None
        self._latest: State | None = None
        #: The state of each run, by the id of the tensor with which it continues.
        self._runs: dict[int, tuple[weakref.ref[Any], State]] = {}

    @property
    def schedule(self) -> Schedule:
        """The points that the next run visits."""
        return self.table.schedule

    @property
    def table(self) -> Table:
        """The rows of the next run."""
        if self._table is None:
            self._table = Table(self.base, self.sampler, self.prediction, self.clip)
        return self._table

    @property
    def order(self) -> int:
        """The largest number of calls of the network in a step."""
        return self.table.order

    @property
    def timesteps(self) -> "Tensor":
        """The timestep of each call of the network: a tensor on the device of `set_timesteps`."""
        if self._timesteps is None:
            torch = _torch()
            values = self.table.timesteps
            dtype = torch.int64 if values.dtype.kind == "i" else torch.float32
            self._timesteps = torch.tensor(values.tolist(), dtype=dtype, device=self._device)
        tensor: Tensor = self._timesteps
        return tensor

    @property
    def sigmas(self) -> "Tensor":
        """sigma/alpha at each point and where the last step arrives, falling."""
        schedule = self.schedule
        origin = schedule.origin
        values = [*to_host(schedule.to_sigmas())[::-1].tolist(), origin.sigma / origin.alpha]
        tensor: Tensor = _torch().tensor(values, device=self._device)
        return tensor

    @property
    def init_noise_sigma(self) -> float:
        """The factor of standard normal noise at the start of a run."""
        return self.schedule.prior_std

    @property
    def config(self) -> Any:
        """The configuration, as a `FrozenDict` of diffusers."""
        try:
            from diffusers.configuration_utils import FrozenDict
        except ImportError:
            raise ImportError("config needs diffusers: pip install 'schedalg[diffusers]'") from None
        prediction = self.prediction if isinstance(self.prediction, str) else None
        frozen: Any = FrozenDict
        return frozen(
            {
                "num_train_timesteps": len(self),
                "prediction_type": _NAMES.get(str(prediction), str(prediction)),
                "use_dynamic_shifting": self.dynamic_shift,
            }
        )

    def __len__(self) -> int:
        """Return how many timesteps the network was trained on, as far as the schedule tells."""
        last, rule = float(self.base.timesteps[-1]), self.base.timestep_rule
        if isinstance(rule, str) and named(rule).factor > 1:
            return int(named(rule).factor)
        trained = isinstance(rule, np.ndarray) and last >= len(self.base) - 1
        return math.floor(last) + (self.base.kind != "flow") if trained else len(self.base)

    def __repr__(self) -> str:
        return f"<DiffusersScheduler: {self.sampler!r} on {self.base!r}>"

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        *,
        timesteps: Sequence[float] | None = None,
        sigmas: Sequence[float] | None = None,
        mu: float | None = None,
    ) -> None:
        """Select the points of new runs.

        Args:
            num_inference_steps: The number of points, with the `spacing` of `to_diffusers`.
            device: The device of the property `timesteps`.
            timesteps: Timesteps of the schedule, falling.
            sigmas: Noise levels, falling: sigma/alpha, or sigma of a flow. A last 0 may be left
                out. Their timesteps are interpolated between those of the schedule.
            mu: See `dynamic_shift`.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: None or more than one of the three is given, or the points do not exist.
        """
        given = [
            name
            for name, value in (("timesteps", timesteps), ("sigmas", sigmas))
            if value is not None
        ]
        if len(given) == 2 or (not given and num_inference_steps is None):
            raise ValueError("give one of num_inference_steps, timesteps and sigmas")
        if timesteps is not None:
            path = self.base.subsample(timesteps=falling("timesteps", timesteps)[::-1].copy())
        elif sigmas is not None:
            path = _at_sigmas(self.base, falling("sigmas", sigmas))
        else:
            steps = positive_integer("num_inference_steps", num_inference_steps)
            path = self.base
            if steps != len(path):
                path = path.subsample(steps=steps, spacing=self.spacing)
        if num_inference_steps is not None and given and num_inference_steps != len(path):
            raise ValueError(
                f"num_inference_steps is {num_inference_steps}, but {given[0]} selects {len(path)} "
                "points"
            )
        if mu is not None and self.dynamic_shift:
            path = path.shift(math.exp(real_number("mu", mu)))
        self._table = Table(path, self.sampler, self.prediction, self.clip)
        self.num_inference_steps = len(path)
        self._device, self._timesteps = device, None
        self._begin, self._latest = None, None

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Set the index in `timesteps` at which the next new run begins."""
        self._begin = begin_index

    @property
    def begin_index(self) -> int | None:
        """The index at which the next new run begins, or None if it was not set."""
        return self._begin

    def scale_model_input(self, sample: "Tensor", timestep: Any = None) -> "Tensor":
        """Return the model input for x.

        Args:
            sample: x, or several copies of x in one batch, as for guidance.
            timestep: The timestep passed to the network.
        """
        state = self._run_of(sample)
        if state is None:
            state = self._found(timestep)
        scaled: Tensor = state.table.input(state.row, sample)
        return scaled

    def step(
        self,
        model_output: "Tensor",
        timestep: Any,
        sample: "Tensor",
        generator: Any = None,
        return_dict: bool = True,
        **options: Any,
    ) -> Any:
        """Return x after one call of the network.

        Args:
            model_output: The network's output.
            timestep: The timestep passed to the network.
            sample: x before `scale_model_input`.
            generator: A `torch.Generator`, or a list with one for each sample.
            return_dict: Whether to return a `StepOutput` rather than a tuple.
            **options: Options that pipelines pass to any scheduler, such as `eta=0.0`. They must
                have no effect; the noise is an argument of the sampler.

        Raises:
            TypeError: An option is unknown.
            ValueError: An option would have an effect, no run has this timestep next, or the
                network's output does not determine x0.
        """
        for name, value in options.items():
            if name not in _STEP_OPTIONS:
                raise TypeError(f"step has no option {name!r}")
            if not any(value is idle or value == idle for idle in _STEP_OPTIONS[name]):
                raise ValueError(
                    f"{name}={value!r} must be an argument of the sampler, {self.sampler!r}"
                )
        state = self._run_of(sample)
        if state is None:
            state = self._found(timestep)
        table = state.table
        after, state = table.step(state, sample, model_output, lambda x: _normal(x, generator))
        self._latest = state
        if state.row < len(table):
            self._store(after, state)
        return StepOutput(after) if return_dict else (after,)

    def add_noise(
        self, original_samples: "Tensor", noise: "Tensor", timesteps: "Tensor"
    ) -> "Tensor":
        """Return noisy data at one of the selected timesteps, or at one for each sample."""
        own = np.asarray(self.schedule.timesteps, dtype=np.float64)
        wanted = timesteps.detach().cpu().reshape(-1).tolist()
        positions = []
        for t in wanted:
            near = np.abs(own - t) <= 1e-6 * max(abs(t), 1.0)
            if not near.any():
                raise ValueError(f"timesteps holds {t!r}, which is not in {self.schedule!r}")
            positions.append(int(np.argmax(near)))
        if len(positions) == 1:
            positions = positions * int(original_samples.shape[0])
        k = _torch().tensor(positions, device=original_samples.device)
        noisy: Tensor = self.schedule.add_noise(original_samples, noise.to(original_samples), k)
        return noisy

    def scale_noise(self, sample: "Tensor", timestep: "Tensor", noise: "Tensor") -> "Tensor":
        """Return the result of `add_noise`; pipelines of flows call it by this name."""
        return self.add_noise(sample, noise, timestep)

    def _run_of(self, sample: Any) -> State | None:
        """Return the run that continues with this tensor object, or None."""
        found = self._runs.get(id(sample))
        return found[1] if found is not None and found[0]() is sample else None

    def _store(self, sample: Any, state: State) -> None:
        key = id(sample)

        def forget(dead: Any) -> None:
            found = self._runs.get(key)
            if found is not None and found[0] is dead:
                del self._runs[key]

        self._runs[key] = (weakref.ref(sample, forget), state)

    def _found(self, timestep: Any) -> State:
        """Return the run for a tensor that `step` did not return; see the class.

        Raises:
            ValueError: The timestep is not the next one of any run.
        """
        table, latest = self.table, self._latest
        if timestep is None:
            return latest or table.start()
        t = float(timestep)
        new = latest is None or latest.row >= len(latest.table)
        # The first two calls may have the same timestep.
        repeated = latest is not None and latest.row == 1 and _is(latest.table, 1, t)
        if not new and len(table) and _is(table, 0, t) and not repeated:
            new = True
        if not new and latest is not None:
            if _is(latest.table, latest.row, t):
                return latest
            raise ValueError(
                f"timestep is {t:g}, and the run that was stepped last goes on at "
                f"{latest.table.row_timesteps[latest.row]:g}"
            )
        begin = self._begin or 0
        for row in range(begin, len(table)):
            if _is(table, row, t):
                return table.from_row(row).start()
        raise ValueError(f"timestep is {t:g}, which is not one of {table.timesteps.tolist()}")


def _is(table: Table, row: int, t: float) -> bool:
    return abs(table.row_timesteps[row] - t) <= 1e-6 * max(abs(t), 1.0)


def _at_sigmas(base: Schedule, sigmas: np.ndarray) -> Schedule:
    """Return the schedule through noise levels, with timesteps between those of the base."""
    levels = sigmas[:-1] if sigmas[-1] == 0 else sigmas
    levels = levels[::-1]
    straight = base.network_kind == "flow"
    known = to_host(base.as_flow().sigma if straight else base.to_sigmas())
    rounding = 1e-6 * known[-1] if np.isfinite(known[-1]) else 0.0
    if len(levels) == 0 or levels[0] <= 0 or levels[-1] > known[-1] + rounding:
        raise ValueError(
            f"sigmas must be above 0, and at most {known[-1]:.6g}; got {sigmas.tolist()}"
        )
    if straight:
        levels = np.minimum(levels, 1.0)
        timesteps = np.interp(levels, known, base.timesteps)
        log_snr = flow.log_snr(levels)
    else:
        timesteps = np.interp(np.log(levels), np.log(known), base.timesteps)
        log_snr = -2 * np.log(levels)
    labels = None if isinstance(base.timestep_rule, np.ndarray) else base.timestep_rule
    path = Schedule.from_log_snr(log_snr, kind=base.kind, timesteps=timesteps)
    path = replace(path, network_kind=base.network_kind)
    return on_curve(path, base) if labels is None else replace(path, timestep_rule=labels)


def _normal(x: "Tensor", generator: Any) -> "Tensor":
    """Return noise like x, drawn as pipelines draw it."""
    torch = _torch()
    if isinstance(generator, list):
        if len(generator) == 1:
            generator = generator[0]
        else:
            parts = [_normal(x[i : i + 1], one) for i, one in enumerate(generator)]
            joined: Tensor = torch.cat(parts)
            return joined
    where = x.device if generator is None else generator.device
    drawn = torch.randn(tuple(x.shape), generator=generator, dtype=x.dtype, device=where)
    noise: Tensor = drawn.to(x.device)
    return noise


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError(
            "a pipeline's scheduler needs torch and diffusers: pip install 'schedalg[diffusers]'"
        ) from None
    return torch
