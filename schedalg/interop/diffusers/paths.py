"""The schedule that a configuration of diffusers walks in so many steps."""

import math
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np

from schedalg.checks import host_numbers
from schedalg.interop.diffusers import spacing
from schedalg.interop.diffusers.config import Options
from schedalg.interop.diffusers.trained import EDM, FLOWS, flow_at, ratios, trained
from schedalg.schedule import Schedule

#: A last step of no length goes down by this much in log-SNR: a schedule falls strictly.
HAIR = 2e-12

#: Where the last step arrives: at clean data, at the noise of timestep 0, or where it starts.
End: TypeAlias = Literal["clean", "first", "stay"]


def path(
    options: Options,
    steps: int | None,
    timesteps: np.ndarray | None,
    sigmas: np.ndarray | None,
    mu: float | None,
) -> Schedule:
    """Return the schedule to walk; that of training if nothing says how many steps.

    Args:
        options: The configuration.
        steps: How many.
        timesteps: The timesteps themselves, falling; a float64 array.
        sigmas: The noise levels themselves, falling; a float64 array.
        mu: The dynamic shift.

    Raises:
        ValueError: An option, or an argument, has a wrong value or contradicts another.
    """
    flow = options.name in FLOWS or options.flag("use_flow_sigmas")
    _check_shift(options, mu, flow, asked=steps is not None or sigmas is not None)
    if options.name in EDM:
        return _edm(options, steps, timesteps, sigmas)
    base = trained(options)
    if flow:
        schedule = _flow(options, base, steps, timesteps, sigmas, mu)
    else:
        schedule = _betas(options, base, steps, timesteps, sigmas)
    return _started(options, schedule)


def _check_shift(options: Options, mu: float | None, flow: bool, asked: bool) -> None:
    dynamic = options.flag("use_dynamic_shifting")
    if dynamic and not flow:
        options.refuse("use_dynamic_shifting", "it needs use_flow_sigmas=True")
    if mu is not None and not dynamic:
        raise ValueError(f"mu={mu!r} needs use_dynamic_shifting=True, and {options.name} has not")
    if dynamic and mu is None and asked:
        raise ValueError("use_dynamic_shifting=True needs mu=")
    if not flow and "flow_shift" in options and options.number("flow_shift") != 1:
        options.refuse("flow_shift", "it needs use_flow_sigmas=True")
    if not flow and options.values.get("shift_terminal") is not None:
        options.refuse("shift_terminal", "it needs use_flow_sigmas=True")


def _betas(
    options: Options,
    base: Schedule,
    steps: int | None,
    timesteps: np.ndarray | None,
    sigmas: np.ndarray | None,
) -> Schedule:
    """Return the path of a network that was trained on betas."""
    grid = spacing.grid(options)
    _check_grid(options, grid)
    end = _end(options, grid)
    if sigmas is not None:
        return _given_sigmas(options, base, sigmas, grid)
    if timesteps is not None:
        if grid is not None:
            raise ValueError(f"timesteps= contradicts the {grid} noise levels of the config")
        told = timesteps[::-1]
        if told[0] < 0 or told[-1] > len(base) - 1:
            raise ValueError(f"timesteps must be in [0, {len(base) - 1}], got {timesteps.tolist()}")
    elif steps is not None:
        if grid is not None and options.name in spacing.ONE_MORE:
            told = np.arange(len(base))
        else:
            told = spacing.spaced(options, base, steps)
    else:
        told = np.arange(len(base))
        grid = None
    if grid is None or steps is None:
        return _ended(_at(base, told), base, end)
    return _on_grid(options, base, told, grid, steps, end)


def _check_grid(options: Options, grid: str | None) -> None:
    for key in ("sigma_min", "sigma_max"):
        if options.values.get(key) is not None and grid is None:
            options.refuse(key, "it needs one of use_karras_sigmas, use_exponential_sigmas, ...")
    if grid is not None and options.flag("rescale_betas_zero_snr"):
        options.refuse("rescale_betas_zero_snr", f"a {grid} grid has no infinite largest sigma")
    if "interpolation_type" in options and options["interpolation_type"] != "linear":
        options.refuse("interpolation_type", "'linear' alone is supported")
    if "timestep_type" in options:
        continuous = options.choice("timestep_type", ("discrete", "continuous")) == "continuous"
        if continuous and options["prediction_type"] != "v_prediction":
            options.refuse("timestep_type", "it needs prediction_type='v_prediction'")


def _end(options: Options, grid: str | None) -> End:
    if options.name in ("DDIMScheduler", "PNDMScheduler"):
        return "clean" if options.flag("set_alpha_to_one") else "first"
    if options.name == "TCDScheduler":
        return "first"
    if options.name == "DEISMultistepScheduler":
        return "stay" if grid is not None or options.flag("use_flow_sigmas") else "first"
    if "final_sigmas_type" not in options:
        return "clean"
    if options.choice("final_sigmas_type", ("zero", "sigma_min")) == "zero":
        return "clean"
    flow = options.flag("use_flow_sigmas")
    if flow and options.name == "DPMSolverMultistepScheduler":
        options.refuse("final_sigmas_type", "it is no noise level of a flow: use 'zero'")
    stays = options.name == "UniPCMultistepScheduler" and (grid is not None or flow)
    return "stay" if stays or options.name in EDM else "first"


def _at(base: Schedule, told: np.ndarray) -> Schedule:
    """Return the points at timesteps, which lie on a line in sigma between those trained."""
    if (told == np.rint(told)).all():
        return base[told.astype(np.int64)]
    sigma = np.interp(told, np.arange(len(base)), ratios(base))
    return Schedule.from_log_snr(-2 * np.log(sigma), timesteps=told)


def _on_grid(
    options: Options, base: Schedule, told: np.ndarray, grid: str, steps: int, end: End
) -> Schedule:
    known = ratios(base)
    reached = np.interp(told, np.arange(len(base)), known)
    low, high = (
        options.number(key) if options.values.get(key) is not None else float(default)
        for key, default in (("sigma_min", reached[0]), ("sigma_max", reached[-1]))
    )
    if not 0 < low < high and steps > 1:
        raise ValueError(f"sigma_min must be above 0 and below sigma_max, got {low!r} and {high!r}")
    sigma = spacing.levels(grid, low, high, steps)
    label = spacing.timesteps_of(sigma, known)
    if options.name in spacing.ONE_MORE:
        rounded = grid in ("karras", "lu")
        if options.name == "DPMSolverMultistepScheduler" and options["trained_betas"] is None:
            rounded = rounded and options["beta_schedule"] != "squaredcos_cap_v2"
        label = label.round() if rounded else spacing.whole(label)
    schedule = Schedule.from_log_snr(-2 * np.log(sigma), timesteps=label)
    return _ended(schedule, base, end)


def _given_sigmas(
    options: Options, base: Schedule, sigmas: np.ndarray, grid: str | None
) -> Schedule:
    if options.name != "EulerDiscreteScheduler":
        raise ValueError(f"sigmas= goes with EulerDiscreteScheduler and flows, not {options.name}")
    if grid is not None:
        raise ValueError(f"sigmas= contradicts the {grid} noise levels of the config")
    if len(sigmas) < 2:
        raise ValueError("sigmas must end with the level that the last step reaches, such as 0")
    known = ratios(base)
    points = sigmas[-2::-1]
    label = spacing.timesteps_of(points, known)
    if sigmas[-1] == 0:
        return Schedule.from_log_snr(-2 * np.log(points), timesteps=label)
    last = spacing.timesteps_of(sigmas[-1:], known)
    levels = np.concatenate([sigmas[-1:], points])
    told = np.concatenate([last, label])
    return Schedule.from_log_snr(-2 * np.log(levels), timesteps=told)[1:]


def _ended(schedule: Schedule, base: Schedule | None, end: End) -> Schedule:
    """Return the schedule with its last step arriving where diffusers' does."""
    if end == "clean":
        return schedule
    log_snr = np.asarray(schedule.to_log_snr())
    origin = float(log_snr[0])
    if end == "first" and base is not None:
        origin = max(float(base.to_log_snr()[0]), origin)
    if origin <= log_snr[0]:
        origin = float(log_snr[0]) + HAIR * max(1.0, abs(float(log_snr[0])))
    first = schedule.timesteps[:1] if end == "stay" else np.zeros(1)
    longer = Schedule.from_log_snr(
        np.concatenate([[origin], log_snr]),
        kind=schedule.kind,
        timesteps=np.concatenate([first, schedule.timesteps]),
    )
    return replace(longer, network_kind=schedule.network_kind)[1:]


def _flow(
    options: Options,
    base: Schedule,
    steps: int | None,
    timesteps: np.ndarray | None,
    sigmas: np.ndarray | None,
    mu: float | None,
) -> Schedule:
    """Return the path of a network that was trained on a flow, shifted once."""
    n, grid = len(base), spacing.grid(options)
    matching = options.name in FLOWS
    if options.flag("invert_sigmas"):
        options.refuse("invert_sigmas", "a flow from data to noise is not supported")
    for key in ("rescale_betas_zero_snr", "use_lu_lambdas"):
        if options.flag(key):
            options.refuse(key, "it contradicts use_flow_sigmas=True")
    if grid is not None and not matching:
        options.refuse(f"use_{grid}_sigmas", "it contradicts use_flow_sigmas=True")
    shift = _shift(options, mu)
    if timesteps is not None and not matching:
        raise ValueError("timesteps= contradicts use_flow_sigmas=True: give sigmas=")
    if sigmas is not None:
        if options.name in ("DPMSolverMultistepScheduler", "DEISMultistepScheduler"):
            raise ValueError(f"sigmas= is nothing that {options.name} takes")
        level = _shifted(sigmas[::-1], shift)
    elif timesteps is not None:
        # They are what the network is told, and so belong to levels that are shifted already.
        level = timesteps[::-1] / n
    else:
        count = n if steps is None else steps
        level = _shifted(_flow_levels(options, n, count, trained_steps=steps is None), shift)
    if not ((level > 0) & (level <= 1)).all():
        raise ValueError(f"the noise levels of a flow must be in (0, 1], got {level.tolist()}")
    if options.values.get("shift_terminal") is not None and steps is not None:
        terminal = options.number("shift_terminal")
        level = 1 - (1 - level) * ((1 - terminal) / (1 - level[0]))
    if grid is not None and steps is not None:
        level = spacing.levels(grid, float(level[0]), float(level[-1]), steps)
    if options.name == "UniPCMultistepScheduler" and abs(level[-1] - 1) < 1e-6:
        level[-1] -= 1e-6
    told = timesteps[::-1] if timesteps is not None else n * level
    if not matching:
        told = spacing.whole(told)
    return _ended(flow_at(level, n, told), None, _end(options, grid) if not matching else "clean")


def _shift(options: Options, mu: float | None) -> float:
    if mu is not None:
        kind = options.choice("time_shift_type", ("exponential", "linear"))
        return math.exp(mu) if kind == "exponential" else mu
    if options.flag("use_dynamic_shifting"):
        return 1.0
    return options.number("shift" if "shift" in options else "flow_shift")


def _shifted(level: np.ndarray, shift: float) -> np.ndarray:
    if not shift > 0:
        raise ValueError(f"the shift of a flow must be above 0, got {shift!r}")
    return shift * level / (1 + (shift - 1) * level)


def _flow_levels(options: Options, n: int, steps: int, trained_steps: bool) -> np.ndarray:
    """Return the levels before a shift, rising."""
    if trained_steps:
        return np.arange(1, n + 1) / n
    if options.name in FLOWS:
        return np.linspace(1, 1 / n, steps)[::-1]
    if options.name == "UniPCMultistepScheduler":
        return np.linspace(1, 1 / n, steps + 1)[-2::-1]
    return 1 - np.linspace(1, 1 / n, steps + 1)[1:]


def _edm(
    options: Options,
    steps: int | None,
    timesteps: np.ndarray | None,
    sigmas: np.ndarray | None,
) -> Schedule:
    """Return the path of an EDM network, which is told ln(sigma)/4."""
    if timesteps is not None or sigmas is not None:
        raise ValueError(
            f"timesteps= and sigmas= do not go with {options.name}: make the schedule itself, by "
            "Schedule.from_sigmas(sigmas, timesteps=np.log(sigmas) / 4)"
        )
    count = options.count("num_train_timesteps") if steps is None else steps
    low, high = options.number("sigma_min"), options.number("sigma_max")
    if options.choice("sigma_schedule", ("karras", "exponential")) == "karras":
        grid = Schedule.karras(count, low, high, options.number("rho"))
    else:
        grid = Schedule.exponential(count, low, high)
    sigma = np.asarray(grid.to_sigmas())
    told = np.log(sigma) / 4
    schedule = replace(Schedule.from_log_snr(-2 * np.log(sigma), timesteps=told), network_kind="ve")
    end = _end(options, None)
    # x starts with the variance of noise and unit data, as on the variance-preserving path.
    return _ended(schedule, None, end)


def _started(options: Options, schedule: Schedule) -> Schedule:
    """Return the schedule in the scale whose prior is the noise that diffusers starts from.

    The samplers in sigma start from sigma times noise, or with "leading" spacing from
    sqrt(sigma² + 1) times noise, which is a standard normal on the variance-preserving path.
    """
    if options.name not in spacing.FRACTIONAL:
        return schedule
    if options.values.get("timestep_type") == "continuous":
        told = -np.asarray(schedule.to_log_snr()) / 8
        origin = schedule.origin_timestep
        schedule = replace(schedule, timestep_rule=told, origin_timestep=origin)
    if options["timestep_spacing"] == "leading" or not np.isfinite(schedule.to_sigmas()).all():
        return schedule
    return schedule.as_ve()


def falling(name: str, values: object) -> np.ndarray:
    """Return numbers that fall strictly, as diffusers lists them, as a float64 array.

    Raises:
        TypeError: They are no real numbers.
        ValueError: They are empty, not finite, not 1-D or do not fall.
    """
    array = host_numbers(name, values).astype(np.float64)
    if array.ndim != 1 or len(array) == 0 or not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite numbers, at least one; got {array.tolist()}")
    if (np.diff(array) >= 0).any():
        k = int(np.argmax(np.diff(array) >= 0)) + 1
        raise ValueError(
            f"{name}[{k}] is {array[k]:g}, after {array[k - 1]:g}: list them from most to least "
            "noisy, as diffusers does"
        )
    return array
