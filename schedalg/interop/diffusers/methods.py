"""The sampler, prediction and bounds that fit a configuration of diffusers."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from schedalg.interop.diffusers.config import Options
from schedalg.interop.diffusers.trained import EDM, FLOWS
from schedalg.network.bounds import Clip, DynamicThreshold, bounding
from schedalg.parameterization import Parameterization, Prediction, edm
from schedalg.plan.plan import Plan
from schedalg.plan.steps import step_change
from schedalg.samplers import (
    DDIM,
    DDPM,
    DEIS,
    LCM,
    LMS,
    PNDM,
    TCD,
    DPMSolverPP,
    Euler,
    EulerAncestral,
    Heun,
    SASolver,
    UniPC,
)
from schedalg.samplers.options import checked_eta
from schedalg.samplers.protocols import Denoise, Noise, Planner, Sampler
from schedalg.schedule import Point, Schedule

_PREDICTIONS: dict[str, Prediction] = {
    "epsilon": "epsilon",
    "sample": "x0",
    "v_prediction": "v",
    "flow_prediction": "flow",
}
#: Below this many steps, `lower_order_final` lowers the last orders.
_FEW = 15


@dataclass(frozen=True)
class ClippedDDIM:
    """DDIM as diffusers runs it: x0 is bounded, and the noise stays what the network said it is.

    x_s = alpha_s clip(x0) + sqrt(sigma_s² - std²) eps + std z, with eps from the x0 prediction that
    is not bounded. (`DDIM` with `sample(..., clip=)` finds eps anew from the bounded one, as
    OpenAI's code and `use_clipped_model_output=True` do.) Give `sample` no `clip` with it.

    Args:
        eta: As in `DDIM`.
        clip: (low, high), or a function of x0.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: `eta` is outside [0, 1], or `clip` is no interval.

    Example:
        >>> import numpy as np
        >>> from schedalg import Schedule, sample
        >>> from schedalg.interop.diffusers import ClippedDDIM
        >>> s = Schedule.linear(1000).subsample(steps=2)
        >>> model = lambda x, timesteps: 3 + 0 * x
        >>> sample(model, s, ClippedDDIM(clip=(-1, 1)), np.ones((1, 1)), prediction="x0")
        array([[1.]])

    Source: Song et al., arXiv 2010.02502, equation 12.
    """

    eta: float = 0.0
    clip: Clip | None = (-1.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "eta", checked_eta(self.eta))
        bounding(self.clip)

    def init(self, x: Any, schedule: Schedule) -> None:
        """Return None: a step needs no past."""

    def step(
        self, x: Any, t: Point, s: Point, denoise: Denoise, noise: Noise, state: None
    ) -> tuple[Any, None]:
        """Return x at point s."""
        x0 = denoise(x, t)
        bound = bounding(self.clip)
        bounded = x0 if bound is None else bound(x0)
        if s.sigma == 0:
            return s.alpha * bounded, None
        eps = (x - t.alpha * x0) / t.sigma
        if self.eta == 0:
            return s.alpha * bounded + s.sigma * eps, None
        drop, root = step_change(t, s)
        kept = ((1 - self.eta**2) + self.eta**2 * root**2) ** 0.5
        mean = s.alpha * bounded + (s.sigma * kept) * eps
        return mean + (self.eta * s.sigma * drop**0.5) * noise(x), None


@dataclass(frozen=True)
class LowerOrderFinal:
    """A multistep method whose order falls to 1 again towards the last step.

    Args:
        orders: The method in order 1, 2, ….

    Example:
        >>> from schedalg import DEIS, Schedule
        >>> from schedalg.interop.diffusers import LowerOrderFinal
        >>> s = Schedule.linear(1000).subsample(steps=5)[1:]
        >>> falling = LowerOrderFinal((DEIS(order=1), DEIS(order=2)))
        >>> (falling.plan(s).b[-1] == [*DEIS(order=1).plan(s).b[-1], 0]).all()
        np.True_
    """

    orders: tuple[Planner, ...]

    def plan(self, schedule: Schedule) -> Plan:
        """Return the table for a schedule; one call a step."""
        highest = min(len(self.orders), max(len(schedule), 1))
        plan = self.orders[highest - 1].plan(schedule)
        b = np.array(plan.b)
        for left in range(1, highest):
            row = len(b) - left
            if row >= 0:
                lower = np.asarray(self.orders[left - 1].plan(schedule).b)[row]
                b[row] = 0
                b[row, : len(lower)] = lower
        return replace(plan, b=b)


def sampler(options: Options, schedule: Schedule, base: Schedule | None) -> Planner | Sampler[Any]:
    """Return the sampler of a configuration.

    Args:
        options: The configuration.
        schedule: What it will walk.
        base: The trained schedule; None for EDM's.

    Raises:
        ValueError: An option asks for something that there is not.
    """
    name, n = options.name, len(schedule)
    if name == "DDIMScheduler":
        bounds = _bounds(options)
        return DDIM() if bounds is None else ClippedDDIM(clip=bounds)
    if name == "DDPMScheduler":
        return _ddpm(options)
    if name == "PNDMScheduler":
        if not options.flag("skip_prk_steps"):
            options.refuse("skip_prk_steps", "the Runge-Kutta warm-up is not supported: set it")
        return PNDM()
    if name == "LMSDiscreteScheduler":
        return LMS()
    if name == "EulerAncestralDiscreteScheduler":
        return EulerAncestral()
    if name in ("HeunDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"):
        return Heun()
    if name == "LCMScheduler":
        return LCM(timestep_scaling=options.number("timestep_scaling"))
    if name == "TCDScheduler":
        return TCD(gamma=0.3, trained=base)
    if name == "FlowMatchEulerDiscreteScheduler" and options.flag("stochastic_sampling"):
        return LCM()
    if name == "UniPCMultistepScheduler":
        return _unipc(options, n)
    if name == "DEISMultistepScheduler":
        return _deis(options, n)
    if name in ("DPMSolverMultistepScheduler", "EDMDPMSolverMultistepScheduler"):
        return _dpm(options, n, clean=schedule.origin.sigma == 0)
    return Euler()


def _ddpm(options: Options) -> DDPM:
    kind = options["variance_type"]
    if kind == "learned":
        options.refuse("variance_type", "diffusers takes the output itself for the variance there")
    of = {
        "fixed_small": "fixed_small",
        "fixed_small_log": "fixed_small",
        "fixed_large": "fixed_large",
        "fixed_large_log": "fixed_large",
        "learned_range": "learned_range",
    }
    options.choice("variance_type", tuple(of))
    return DDPM(of[kind])  # type: ignore[arg-type]


def _order(options: Options, n: int) -> int:
    order = options.count("solver_order")
    if order > 3:
        options.refuse("solver_order", "allowed are 1, 2, 3")
    return min(order, max(n, 1))


def _few(options: Options, n: int) -> bool:
    return options.flag("lower_order_final") and n < _FEW


def _unipc(options: Options, n: int) -> UniPC:
    if not options.flag("predict_x0"):
        options.refuse("predict_x0", "UniPC in the noise prediction is not supported")
    if options["disable_corrector"]:
        options.refuse("disable_corrector", "the corrector is on in all steps, or in none")
    if options["solver_p"] is not None:
        options.refuse("solver_p", "another predictor is not supported")
    # What `from_config` makes of the solver types of other classes.
    kinds = {"bh1": "bh1"} | dict.fromkeys(("bh2", "midpoint", "heun", "logrho"), "bh2")
    variant: Any = kinds[options.choice("solver_type", tuple(kinds))]
    final = options.flag("lower_order_final")
    return UniPC(order=_order(options, n), variant=variant, lower_order_final=final)


def _deis(options: Options, n: int) -> Planner:
    options.choice("algorithm_type", ("deis", "dpmsolver", "dpmsolver++"))
    options.choice("solver_type", ("logrho", "midpoint", "heun", "bh1", "bh2"))
    order = _order(options, n)
    if order == 1 or not _few(options, n):
        return DEIS(order=order)
    return LowerOrderFinal(tuple(DEIS(order=k) for k in range(1, order + 1)))


def _dpm(options: Options, n: int, clean: bool) -> Planner:
    kind = options["algorithm_type"]
    if kind in ("dpmsolver", "sde-dpmsolver"):
        options.refuse("algorithm_type", "DPM-Solver in the noise is not supported: add '++'")
    options.choice("algorithm_type", ("dpmsolver++", "sde-dpmsolver++", "deis"))
    eta = 1.0 if kind == "sde-dpmsolver++" else 0.0
    order = _order(options, n)
    lowered = _few(options, n)
    if options.flag("euler_at_final") and not clean and not lowered:
        if order == 3:
            options.refuse("euler_at_final", "with solver_order=3 it needs lower_order_final=True")
        lowered = True
    solver = options.choice("solver_type", ("midpoint", "heun", "logrho", "bh1", "bh2"))
    if solver == "heun" and order > 1:
        if order == 3:
            options.refuse("solver_type", "with solver_order=3 it is not supported")
        # The exact integral of the line through two predictions.
        exact = tuple(SASolver(order=k, corrector_order=0, tau=eta) for k in (1, 2))
        return LowerOrderFinal(exact) if lowered else exact[1]
    return DPMSolverPP(order=order, eta=eta, lower_order_final=lowered)


def prediction(options: Options) -> Prediction | Parameterization:
    """Return what the network's output means.

    Raises:
        ValueError: That is unknown, or not known of such a network.
    """
    if options.name in FLOWS:
        return "flow"
    kind = options["prediction_type"]
    if options.name in EDM:
        inside = edm(options.number("sigma_data"))
        if options.choice("prediction_type", ("epsilon", "v_prediction")) == "epsilon":
            return inside
        return _negative(inside)
    if kind == "original_sample" and options.name == "EulerDiscreteScheduler":
        return "x0"
    result = _PREDICTIONS[options.choice("prediction_type", tuple(_PREDICTIONS))]
    flow = options.flag("use_flow_sigmas")
    if result == "flow" and not flow:
        options.refuse("prediction_type", "it needs use_flow_sigmas=True")
    if result == "v" and flow:
        options.refuse("prediction_type", "it contradicts use_flow_sigmas=True")
    return result


def _negative(reading: Parameterization) -> Parameterization:
    """Return the parameterization of a network with the opposite sign."""

    def weights(alpha: Any, sigma: Any) -> tuple[Any, Any]:
        p, q = reading.weights_at(alpha, sigma)
        return -p, -q

    return Parameterization(
        reading.c_x,
        lambda alpha, sigma: -reading.c_out(alpha, sigma),
        reading.c_in,
        weights,
    )


def _bounds(options: Options) -> Clip | None:
    """Return how x0 is bounded; thresholding comes before clipping."""
    if options.name == "TCDScheduler":
        for key in ("thresholding", "clip_sample"):
            if options.flag(key):
                options.refuse(key, "TCD does not heed it")
    if options.flag("thresholding"):
        return DynamicThreshold(
            options.number("dynamic_thresholding_ratio"), options.number("sample_max_value")
        )
    if options.flag("clip_sample"):
        bound = options.number("clip_sample_range")
        if not bound > 0:
            options.refuse("clip_sample_range", "it must be above 0")
        return -bound, bound
    return None


def clip(options: Options) -> Clip | None:
    """Return how `sample` bounds x0; not at all where the sampler does."""
    bounds = _bounds(options)
    return None if options.name == "DDIMScheduler" else bounds
