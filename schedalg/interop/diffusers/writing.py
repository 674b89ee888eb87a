"""`diffusers_config`: a schedule and a sampler as the configuration of a scheduler of diffusers.

It is found by reading: the options that the library knows are tried, one part of them after the
other, until `from_diffusers` reads what is wanted. So nothing is written that is read otherwise.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from operator import itemgetter
from typing import Any, Final, TypeAlias

import numpy as np

from schedalg.arrays import to_host
from schedalg.checks import check_sampler_object, shown
from schedalg.interop.diffusers.classes import CLASSES
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.output import PREDICTIONS
from schedalg.interop.diffusers.reading import Imported
from schedalg.interop.diffusers.record import Record
from schedalg.interop.diffusers.request import Request
from schedalg.interop.diffusers.trained import STABLE_DIFFUSION, TRAINED, trained
from schedalg.network.bounds import Clamp, Clip, DynamicThreshold, bounding
from schedalg.parameterization import Parameterization, Prediction, parameterization
from schedalg.samplers.protocols import Sampler
from schedalg.schedule import Schedule, check_schedule
from schedalg.schedule.curve import base_of, places_of
from schedalg.schedule.timesteps import named

#: Some of the options of a class.
Given: TypeAlias = Mapping[str, Any]
#: What a part of a configuration may hold: one of each.
Choices: TypeAlias = tuple[tuple[Given, ...], ...]

#: How far log-SNRs may be apart that are one but for rounding.
_CLOSE: Final = 1e-9
#: Options of the solver, the usual ones first.
_SOLVERS: Final[Choices] = (
    ({}, {"variance_type": "fixed_large"}, {"variance_type": "learned_range"}),
    ({}, *({"solver_order": order} for order in (1, 2, 3))),
    ({}, {"algorithm_type": "sde-dpmsolver++"}),
    ({}, {"solver_type": "heun"}, {"solver_type": "bh1"}),
    ({}, {"lower_order_final": False}),
    ({}, {"euler_at_final": True}),
    ({}, {"stochastic_sampling": True}),
)
#: Where the last step arrives, and which points are visited.
_ENDS: Final[tuple[Given, ...]] = (
    {},
    {"set_alpha_to_one": True},
    {"set_alpha_to_one": False},
    {"final_sigmas_type": "sigma_min"},
)
_SPACINGS: Final[tuple[Given, ...]] = (
    {},
    *({"timestep_spacing": name} for name in ("leading", "trailing", "linspace")),
    {"steps_offset": 1},
    {"timestep_spacing": "leading", "steps_offset": 1},
)
_GRIDS: Final[tuple[Given, ...]] = (
    {},
    {"use_karras_sigmas": True},
    {"use_exponential_sigmas": True},
    {"use_lu_lambdas": True},
    {"sigma_schedule": "exponential"},
    {"use_beta_sigmas": True},
)


def diffusers_config(
    schedule: Schedule,
    sampler: Sampler,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
) -> dict[str, Any]:
    """Return the configuration of diffusers that is read as this schedule and sampler.

    `from_diffusers(config, steps=len(schedule))` returns them, and the prediction and the bounds;
    noise levels to rounding. Options at their default are left out.

    Args:
        schedule: A schedule such as `from_diffusers` returns: points chosen from those of
            training, a flow, or a grid.
        sampler: A sampler that diffusers has too.
        prediction: What the network predicts. None: flow on schedules of flow networks, and epsilon
            on all others.
        clip: The bounds of x0, or None.

    Returns:
        A dictionary for `json.dumps`, and for `from_config` of the class that it names.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: No configuration is read so; the message says what diffusers lacks.

    Example:
        >>> from schedalg import DDIM, Schedule
        >>> from schedalg.interop.diffusers import diffusers_config
        >>> fast = Schedule.linear(1000).subsample(steps=50)
        >>> config = diffusers_config(fast, DDIM(), prediction="v")
        >>> config["_class_name"], config["timestep_spacing"], config["prediction_type"]
        ('DDIMScheduler', 'trailing', 'v_prediction')
    """
    check_schedule(schedule)
    check_sampler_object(sampler)
    if len(schedule) == 0:
        raise ValueError("schedule must have points, and has none")
    if prediction is None:
        prediction = "flow" if schedule.network_kind == "flow" else "epsilon"
    wanted = Imported(schedule, sampler, parameterization(prediction), bounding(clip))
    furthest = (0, f"schedule {schedule!r}")
    bases = list(_bases(schedule))
    if schedule.network_kind == "vp" and not bases:
        raise ValueError(
            f"schedule {schedule!r} was not chosen from steps 0, 1, 2, ... of training that begin "
            "at clean data, as those of diffusers are"
        )
    for record in CLASSES.values():
        for start in _starts(record, schedule, bases):
            given, missed = _completed(record, start, wanted)
            if missed is None:
                return _written(record, given)
            furthest = max(furthest, missed, key=itemgetter(0))
    stage, what = furthest
    raise ValueError(
        f"{what} is not in any scheduler of diffusers that can be read"
        + ", with this sampler" * (stage == len(Imported._fields))
    )


def _completed(
    record: Record, start: Given, wanted: Imported
) -> tuple[Given, tuple[int, str] | None]:
    """Return options with which a class is read as wanted, or the part that it does not have."""
    given = start
    for stage, (what, choices, is_wanted) in enumerate(_parts(wanted), 1):
        found = _found(record, given, choices, is_wanted)
        if found is None:
            return given, (stage, what)
        given = found
    return given, None


def _parts(
    wanted: Imported,
) -> Iterator[tuple[str, Choices, Callable[[Record, Options], bool]]]:
    """Yield the parts of a configuration: what errors call it, the options, and when they fit."""
    schedule, request = wanted.schedule, Request(len(wanted.schedule), None, None, None)

    def has_clip(record: Record, options: Options) -> bool:
        return bounding(record.clip(options)) == wanted.clip

    def has_prediction(record: Record, options: Options) -> bool:
        return parameterization(record.prediction(options)) == wanted.prediction

    def has_sampler(record: Record, options: Options) -> bool:
        return record.sampler(options, schedule) == wanted.sampler

    def has_path(record: Record, options: Options) -> bool:
        return _alike(record.path(options, request), schedule)

    yield f"clip={shown(wanted.clip)}", (_clips(wanted.clip),), has_clip
    yield "prediction", (_predictions(wanted.prediction),), has_prediction
    yield f"sampler {wanted.sampler!r}", _SOLVERS, has_sampler
    yield f"schedule {schedule!r}", _paths(schedule), has_path


def _found(
    record: Record,
    start: Given,
    choices: Choices,
    is_wanted: Callable[[Record, Options], bool],
) -> Given | None:
    """Return the start and the fewest options with which it is wanted; None if there are none."""
    own = [[each for each in choice if each.keys() <= record.defaults.keys()] for choice in choices]
    for chosen in sorted(product(*own), key=lambda chosen: sum(map(len, chosen))):
        given = dict(start)
        for each in chosen:
            given |= each
        try:
            if is_wanted(record, record.options(given)):
                return given
        except (ValueError, ImportError):  # this is not a configuration, or needs SciPy
            continue
    return None


def _written(record: Record, given: Given) -> dict[str, Any]:
    changed = {key: value for key, value in given.items() if record.defaults[key] != value}
    return {"_class_name": record.name, **changed}


def _clips(clip: Clip | None) -> tuple[Given, ...]:
    off: Given = {"thresholding": False, "clip_sample": False}
    if isinstance(clip, DynamicThreshold):
        quantile = {"dynamic_thresholding_ratio": clip.quantile, "sample_max_value": clip.max_value}
        return ({"thresholding": True, **quantile},)
    if isinstance(clip, Clamp) and clip.low == -clip.high:
        return ({"clip_sample": True, "clip_sample_range": clip.high},)
    return ({}, {"clip_sample": False}, off)


def _predictions(prediction: Prediction | Parameterization) -> tuple[Given, ...]:
    data = getattr(parameterization(prediction).weights, "data", None)
    edm = [{"sigma_data": data}] if isinstance(data, float) else []
    return ({}, *edm, *({"prediction_type": name} for name in PREDICTIONS))


def _paths(schedule: Schedule) -> Choices:
    first, sigmas = float(schedule.timesteps[0]), to_host(schedule.to_sigmas())
    spacings = _SPACINGS
    if first == int(first) and first > 1:
        spacings += ({"timestep_spacing": "leading", "steps_offset": int(first)},)
    grids: tuple[Given, ...] = ({},)
    between = schedule.curve is None or bool((places_of(schedule) % 2 == 1).any())
    if between and schedule.network_kind == "flow":
        grids = _GRIDS
    elif between and np.isfinite(sigmas).all():
        ends = {"sigma_min": _short(sigmas[0]), "sigma_max": _short(sigmas[-1])}
        grids = (*_GRIDS, *({**grid, **ends} for grid in _GRIDS))
    return spacings, _ENDS, grids


def _starts(record: Record, schedule: Schedule, bases: Iterable[Given]) -> Iterator[Given]:
    """Yield what follows from the schedule before anything is tried."""
    given: dict[str, Any] = {"skip_prk_steps": True} if "skip_prk_steps" in record.defaults else {}
    if schedule.network_kind != "flow":
        if "beta_start" in record.defaults:
            yield from ({**given, **base} for base in bases)
        else:
            yield given
        return
    rule = schedule.timestep_rule
    if isinstance(rule, str) and named(rule).factor > 1:
        given["num_train_timesteps"] = int(named(rule).factor)
    if "use_flow_sigmas" in record.defaults:
        given["use_flow_sigmas"] = True
    shift = next((key for key in ("shift", "flow_shift") if key in record.defaults), None)
    if shift is not None:
        yield from ({**given, shift: factor} for factor in _shifts(record, given, schedule))


def _shifts(record: Record, given: Given, schedule: Schedule) -> Iterator[float]:
    """Yield the shift that lowers the SNR of unshifted noise levels to that of the schedule."""
    yield 1.0
    try:
        request = Request(len(schedule), None, None, None)
        unshifted = record.path(record.options(given), request).to_sigmas()[0]
    except ValueError:
        return
    ratio = float(to_host(schedule.to_sigmas())[0] / to_host(unshifted))
    if 0 < ratio < np.inf:
        yield _short(ratio)


def _bases(schedule: Schedule) -> Iterator[Given]:
    """Yield options that describe the schedule of training, as far as the schedule knows it."""
    if schedule.network_kind == "flow":
        return
    base = base_of(schedule).as_vp()
    if base.origin.timestep == 0:  # the last step arrives at the noise level of timestep 0
        base = Schedule.from_log_snr([base.origin.log_snr, *to_host(base.to_log_snr()).tolist()])
    n = len(base)
    if base.origin.sigma > 0 or not np.array_equal(base.timesteps, np.arange(n)):
        return
    stride = int(schedule.timesteps[1] - schedule.timesteps[0]) if len(schedule) > 1 else n
    lengths = dict.fromkeys((1000, stride * len(schedule), n))
    for length in lengths:
        for given in _named(base, length) if length >= n else ():
            yield {"num_train_timesteps": length, **given}
    yield {"num_train_timesteps": n, "trained_betas": to_host(base.to_betas()).tolist()}


def _named(base: Schedule, length: int) -> Iterator[Given]:
    """Yield the named schedules of a length that begin with the points of a base."""
    first, last = (float(to_host(base.to_betas())[k]) for k in (0, -1))
    share = (length - 1) / max(len(base) - 1, 1)
    known = {key: TRAINED[key] for key in ("beta_start", "beta_end")}
    straight = {"beta_end": first + (last - first) * share}
    of_roots = {"beta_end": (first**0.5 + (last**0.5 - first**0.5) * share) ** 2}
    tried: list[Given] = [
        {"beta_schedule": "linear", "beta_start": first, **straight},
        {"beta_schedule": "scaled_linear", "beta_start": first, **of_roots},
        *({"beta_schedule": name, **known} for name in ("linear", "sigmoid")),
        {"beta_schedule": "scaled_linear", **STABLE_DIFFUSION},
        *({"beta_schedule": name} for name in ("squaredcos_cap_v2", "laplace", "exp")),
    ]
    for given, zero in product(tried, ({}, {"rescale_betas_zero_snr": True})):
        ends = {key: _short(value) for key, value in given.items() if key != "beta_schedule"}
        options = {**TRAINED, **given, **ends, **zero, "num_train_timesteps": length}
        try:
            whole = trained(Options("", options))
        except ValueError:  # no beta
            continue
        if _alike(whole[: len(base)], base):
            yield {**given, **ends, **zero}


def _short(number: float) -> float:
    """Return a number in 12 digits, which is what it was before rounding."""
    return float(f"{number:.12g}")


def _alike(a: Schedule, b: Schedule) -> bool:
    """Whether two schedules are one but for rounding."""
    if (len(a), a.kind, a.network_kind) != (len(b), b.kind, b.network_kind):
        return False
    x, y = (
        np.append(to_host(s.to_log_snr()), -np.log(max(s.origin.sigma, 1e-300))) for s in (a, b)
    )
    with np.errstate(invalid="ignore"):  # the difference of two infinities
        near = (x == y) | (np.abs(x - y) <= _CLOSE * np.maximum(1, np.abs(x)))
    return bool(near.all()) and np.allclose(a.timesteps, b.timesteps, rtol=_CLOSE, atol=_CLOSE)
