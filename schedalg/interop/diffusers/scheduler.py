"""`to_diffusers`: a schedule and a sampler as a scheduler for pipelines of diffusers."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from schedalg.arrays import Array, to_host, weighted
from schedalg.checks import (
    check_sampler_object,
    flag,
    host_numbers,
    integer,
    positive_number,
    real_number,
    shown,
)
from schedalg.interop.diffusers import points
from schedalg.interop.diffusers.output import PREDICTIONS
from schedalg.interop.diffusers.runs import Runs, check_next
from schedalg.interop.diffusers.tables import Table
from schedalg.interop.diffusers.tensors import (
    check_device,
    check_generator,
    check_tensor,
    imported_torch,
    normal_like,
)
from schedalg.network.bounds import Clip, bounding
from schedalg.parameterization import Parameterization, Prediction, parameterization
from schedalg.samplers.protocols import Sampler
from schedalg.schedule import Schedule, check_schedule
from schedalg.schedule.curve import base_of
from schedalg.schedule.spacing import IndexSpacing, NoiseSpacing
from schedalg.schedule.timesteps import named

if TYPE_CHECKING:
    from torch import Tensor

#: Predictions of this library by the names that diffusers has for them.
_NAMES: dict[str, str] = {own: name for name, own in PREDICTIONS.items()}
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
        prev_sample: x after the call.
        pred_original_sample: The x0 prediction of the call, bounded; after the last call of `LCM`
            and `TCD` it is x itself, as in diffusers, whose pipelines take the image from there.
    """

    prev_sample: Any
    pred_original_sample: Any

    @property
    def denoised(self) -> Any:
        """The x0 prediction, by the name that it has in `LCMScheduler`."""
        return self.pred_original_sample


def to_diffusers(
    schedule: Schedule,
    sampler: Sampler,
    *,
    prediction: Prediction | Parameterization = "epsilon",
    clip: Clip | None = None,
    spacing: IndexSpacing | NoiseSpacing | Literal["all"] = "leading",
    shift: float = 1.0,
    dynamic_shift: bool = False,
    config: Mapping[str, Any] | None = None,
) -> "DiffusersScheduler":
    """Return a scheduler for pipelines of diffusers.

    Args:
        schedule: The schedule from which `num_inference_steps` points are selected. If that is the
            number of its points, all of them are visited.
        sampler: Any sampler with a table; or a sampler without one that calls the network once a
            step, where the step starts.
        prediction: What the network predicts.
        clip: (low, high) for the x0 prediction, or a function of it.
        spacing: How points are selected, as in `Schedule.subsample`; or "all": all of them are
            visited, even if the pipeline lists others. There must be as many as it asks for.
        shift: By how much the `sigmas` that a pipeline lists are shifted. Many pipelines of flows
            list even ones, for their scheduler to shift.
        dynamic_shift: Whether the `mu` of a pipeline shifts the selected points, by
            `shift(exp(mu))`. Otherwise `mu` is ignored.
        config: What pipelines read from `scheduler.config` apart from the prediction and the length
            of training, such as `max_shift` or `sigma_data`: the `config` of the scheduler that is
            replaced. Of the scheduler itself only `original_inference_steps` depends on it.

    Returns:
        The scheduler.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument has a wrong value.

    Example:
        >>> from schedalg import DDIM, Schedule
        >>> from schedalg.interop.diffusers import to_diffusers
        >>> scheduler = to_diffusers(Schedule.linear(1000), DDIM())
        >>> scheduler.order, len(scheduler)
        (1, 1000)
    """
    return DiffusersScheduler(
        schedule, sampler, prediction, clip, spacing, shift, dynamic_shift, config
    )


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
    timestep. A multistep method then starts there with lower orders, and never has a higher one
    than there are steps left.
    """

    def __init__(
        self,
        schedule: Schedule,
        sampler: Any,
        prediction: Any,
        clip: Any,
        spacing: Any,
        shift: float,
        dynamic_shift: bool,
        config: Any,
    ) -> None:
        check_schedule(schedule)
        check_sampler_object(sampler)
        parameterization(prediction)
        bounding(clip)
        self.base = schedule
        self.sampler = sampler
        self.prediction = prediction
        self.clip = clip
        self.spacing = spacing
        self.shift = positive_number("shift", shift)
        if self.shift != 1 and schedule.network_kind != "flow":
            raise ValueError(
                f"shift={shown(shift)} is for schedules of flow networks, not {schedule!r}"
            )
        self.dynamic_shift = flag("dynamic_shift", dynamic_shift)
        if not isinstance(config, Mapping | None):
            raise TypeError(
                f"config must be the config of a scheduler, a mapping; got {shown(config)}"
            )
        self._config = dict(config or {})
        self.num_inference_steps: int | None = None
        self._table: Table | None = None
        self._device: Any = None
        self._timesteps: Any = None
        self._runs = Runs()

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
        """The number of calls of the network in a step; 1 for multistep methods."""
        return self.table.order

    @property
    def timesteps(self) -> "Tensor":
        """The timestep of each call of the network: a tensor on the device of `set_timesteps`."""
        if self._timesteps is None:
            torch = imported_torch()
            values = self.table.timesteps
            dtype = torch.int64 if values.dtype.kind == "i" else torch.float32
            self._timesteps = torch.tensor(values.tolist(), dtype=dtype, device=self._device)
        tensor: Tensor = self._timesteps
        return tensor

    @property
    def sigmas(self) -> "Tensor":
        """The noise level at each of the `timesteps`, and where the last step arrives; float32.

        sigma/alpha, and sigma of a flow, as `set_timesteps` takes them.
        """
        plan = self.table.plan
        levels = points.noise_levels(self.schedule, to_host(plan.alpha), to_host(plan.sigma))
        return self._tensor(levels)

    @property
    def alphas_cumprod(self) -> "Tensor":
        """ᾱ at each timestep of training, up to the last that the schedule knows; float32.

        Raises:
            AttributeError: The schedule is a flow, or does not know every timestep of training.
        """
        return self._tensor(self._trained("alphas_cumprod").to_alphas_cumprod())

    @property
    def betas(self) -> "Tensor":
        """β at each timestep of training, as `alphas_cumprod`.

        Raises:
            AttributeError: As in `alphas_cumprod`.
        """
        return self._tensor(self._trained("betas").to_betas())

    def _tensor(self, values: Array) -> "Tensor":
        """Return numbers as a tensor in torch's default dtype, on the device of `set_timesteps`."""
        tensor: Tensor = imported_torch().tensor(to_host(values).tolist(), device=self._device)
        return tensor

    def _trained(self, name: str) -> Schedule:
        """Return the schedule of training, variance preserving, as far as it is known."""
        known = base_of(self.base)
        rising = np.array_equal(known.timesteps, np.arange(len(known)))
        if known.network_kind == "flow" or not rising or known.origin.sigma > 0:
            raise AttributeError(
                f"{name}: the schedule must be chosen from the one of training, with timesteps "
                f"0, 1, 2, ...; got {self.base!r}"
            )
        return known.as_vp()

    @property
    def init_noise_sigma(self) -> "Tensor":
        """The factor of standard normal noise at the start of a run; a float32 number of torch."""
        tensor: Tensor = imported_torch().tensor(float(self.schedule.prior_std))
        return tensor

    @property
    def config(self) -> Any:
        """The configuration, as a `FrozenDict` of diffusers."""
        try:
            from diffusers.configuration_utils import FrozenDict
        except ImportError:
            raise ImportError("config needs diffusers: pip install 'schedalg[diffusers]'") from None
        frozen: Any = FrozenDict
        values = {
            "num_train_timesteps": len(self),
            "original_inference_steps": None,
            "variance_type": getattr(self.sampler, "variance", None),
            "prediction_type": "a parameterization",
            **self._config,
            "use_dynamic_shifting": self.dynamic_shift,
        }
        if isinstance(self.prediction, str):
            values["prediction_type"] = _NAMES.get(self.prediction, self.prediction)
        return frozen(values)

    def __len__(self) -> int:
        """Return how many timesteps the network was trained on, if the schedule shows it."""
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
        original_inference_steps: int | None = None,
        strength: float = 1.0,
    ) -> None:
        """Select the points of new runs.

        Args:
            num_inference_steps: The number of points, with the `spacing` of `to_diffusers`.
            device: The device of the property `timesteps`.
            timesteps: Timesteps of the schedule, falling; with `sigmas`, what the network is given
                there.
            sigmas: Noise levels, falling: sigma/alpha, or sigma of a flow. They may end with where
                the schedule ends, such as 0. Their timesteps are interpolated between those of the
                schedule.
            mu: See `dynamic_shift`.
            original_inference_steps: The steps of LCM's distillation, from which the points are
                chosen in place of `spacing`; without effect if all points are visited. None: those
                of the `config` of `to_diffusers`, if it has them.
            strength: The share of the schedule, from its least noisy point, that they are chosen
                from, for image to image with LCM. Of points that are listed, or are as many as the
                schedule's, this share is visited.

        Raises:
            TypeError: An argument is of the wrong type.
            ValueError: None of the three is given, the points do not exist, or torch does not know
                the device.
        """
        check_device(device)
        if original_inference_steps is None:
            original_inference_steps = self._config.get("original_inference_steps")
        asked = points.Asked(
            num_inference_steps, timesteps, sigmas, mu, original_inference_steps, strength
        )
        path = points.selected(
            self.base,
            self.spacing,
            asked,
            shift=self.shift,
            dynamic_shift=self.dynamic_shift,
        )
        self._table = Table(path, self.sampler, self.prediction, self.clip)
        self.num_inference_steps = len(path)
        self._device, self._timesteps = device, None
        self._runs.select()

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Set the index in `timesteps` at which the next new run begins."""
        self._runs.begin = integer("begin_index", begin_index)

    @property
    def begin_index(self) -> int | None:
        """The index at which the next new run begins, or None if it was not set."""
        return self._runs.begin

    @property
    def step_index(self) -> int | None:
        """The index in `timesteps` of the next call in the run that was stepped last, or None."""
        return self._runs.next_row(self.table)

    @property
    def _step_index(self) -> int | None:
        """The same; pipelines that step twice at one timestep take 1 from it in between."""
        return self.step_index

    @_step_index.setter
    def _step_index(self, index: int) -> None:
        self._runs.step_back(self.table, index)

    def scale_model_input(self, sample: "Tensor", timestep: Any = None) -> "Tensor":
        """Return the model input for x.

        Args:
            sample: x, or several copies of x in one batch, as for guidance.
            timestep: The timestep passed to the network.
        """
        check_tensor("sample", sample)
        state = self._runs.at(sample)
        if state is None:
            state = self._runs.found(self.table, timestep, self._timesteps)
        if state.row >= len(state.table):
            raise ValueError("the run of this sample is at its end: sample needs no scaling")
        scaled: Tensor = state.table.input(state.row, sample)
        return scaled

    def _get_conditioning_c_in(self, sigma: Any) -> Any:
        """Return the factor of the model input for x0 + sigma eps; Cosmos' pipelines take it."""
        return parameterization(self.prediction).c_in(1.0, sigma)

    def step(
        self,
        model_output: "Tensor",
        timestep: Any,
        sample: "Tensor",
        generator: Any = None,
        return_dict: bool = True,
        eta: float | None = None,
        pred_original_sample: "Tensor | None" = None,
        **options: Any,
    ) -> Any:
        """Return x after one call of the network.

        Args:
            model_output: The network's output.
            timestep: The timestep passed to the network.
            sample: x before `scale_model_input`.
            generator: A `torch.Generator`, or a list with one for each sample.
            return_dict: Whether to return a `StepOutput` rather than a tuple with its values.
            eta: 0 or None: the noise is an argument of the sampler. (Pipelines pass their `eta` to
                schedulers with this argument alone.)
            pred_original_sample: The x0 prediction, in place of that from `model_output`.
            **options: Options that pipelines pass to any scheduler, such as `s_churn=0.0`. They
                must have no effect.

        Raises:
            TypeError: An option is unknown.
            ValueError: An option would have an effect, no run has this timestep next, or the
                network's output does not determine x0.
        """
        for name, value in {"eta": eta, **options}.items():
            if name not in _STEP_OPTIONS:
                raise TypeError(f"step has no option {name!r}")
            plain = value is None or isinstance(value, bool | int | float)
            if not plain or value not in _STEP_OPTIONS[name]:
                raise ValueError(
                    f"{name}={shown(value)} must be an argument of the sampler, {self.sampler!r}"
                )
        check_tensor("sample", sample)
        check_tensor("model_output", model_output)
        check_generator(generator, len(sample))
        as_named = flag("return_dict", return_dict)
        state = self._runs.at(sample)
        if state is None:
            state = self._runs.found(self.table, timestep, self._timesteps)
        elif getattr(getattr(timestep, "device", None), "type", "cpu") == "cpu":
            # not on a GPU, which it would wait for
            check_next(state, real_number("timestep", timestep))
        table = state.table
        after, x0, next_state = table.step(
            state, sample, model_output, lambda x: normal_like(x, generator), pred_original_sample
        )
        self._runs.stepped(state, next_state, after)
        if next_state.row == len(table) and table.ends_at_x0:
            x0 = after
        return StepOutput(after, x0) if as_named else (after, x0)

    def add_noise(
        self, original_samples: "Tensor", noise: "Tensor", timesteps: "Tensor"
    ) -> "Tensor":
        """Return noisy data at one of the selected timesteps, or at one for each sample."""
        return self._noised("original_samples", original_samples, noise, "timesteps", timesteps)

    def scale_noise(self, sample: "Tensor", timestep: "Tensor", noise: "Tensor") -> "Tensor":
        """Return the result of `add_noise`; pipelines of flows call it by this name."""
        return self._noised("sample", sample, noise, "timestep", timestep)

    def _noised(self, name: str, x: Any, noise: Any, place: str, timesteps: Any) -> "Tensor":
        """Return noisy data; the names are those of the arguments that x and timesteps were."""
        check_tensor(name, x)
        check_tensor("noise", noise)
        if noise.shape != x.shape:
            raise ValueError(
                f"noise must have the shape of {name}, {tuple(x.shape)}; got {tuple(noise.shape)}"
            )
        wanted = host_numbers(place, timesteps).reshape(-1).tolist()
        if not wanted:
            raise ValueError(f"{place} is empty: the strength of a pipeline leaves no steps")
        rows = [self._row(place, t) for t in wanted]
        z = noise.to(x)
        if len(set(rows)) == 1:
            return self._noisy(x, z, rows[0])
        if len(rows) != len(x):
            raise ValueError(f"{place} holds {len(rows)} values for {len(x)} samples")
        parts = [self._noisy(x[i : i + 1], z[i : i + 1], row) for i, row in enumerate(rows)]
        noisy: Tensor = imported_torch().cat(parts)
        return noisy

    def _noisy(self, x: "Tensor", z: "Tensor", row: int) -> "Tensor":
        plan = self.table.plan
        noisy: Tensor = weighted([(float(plan.alpha[row]), x), (float(plan.sigma[row]), z)])
        return noisy

    def _row(self, place: str, t: float) -> int:
        row = self._runs.row(self.table, t)
        if row is None:
            raise ValueError(f"{place} holds {t!r}, which is not in {self.schedule!r}")
        return row
