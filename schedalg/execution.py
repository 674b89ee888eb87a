"""Running a plan: what is left to do when the table is made."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from schedalg.arrays import (
    Array,
    carries_gradient,
    check_sample,
    is_array,
    multiplier,
    namespace,
    to_host,
)
from schedalg.bounds import Clip
from schedalg.model import Denoiser, Model
from schedalg.noise import NoiseSource, noise_for
from schedalg.parameterization import Parameterization, Prediction
from schedalg.point import Point

if TYPE_CHECKING:
    from schedalg.plan import Plan
    from schedalg.samplers.base import Noise
    from schedalg.schedule import Schedule


class Row(NamedTuple):
    """What is done with the network's output in one row, as numbers that multiply arrays.

    Attributes:
        x: Coefficient of x in the new x.
        output: Coefficient of the row's output (or of its x0 prediction, see `_rows`).
        memories: (coefficient, how many rows back) of the earlier memories.
        noise: Coefficient of the noise; 0 where none is drawn.
        memory: (coefficient of x, of the output) in what is remembered, if any later row asks.
    """

    x: Any
    output: Any
    memories: list[tuple[Any, int]]
    noise: Any
    memory: tuple[Any, Any] | None


def walk(
    plan: "Plan",
    model: Model | Denoiser,
    x: Array,
    *,
    prediction: Prediction | Parameterization | None,
    clip: Clip | None,
    noise: NoiseSource,
    check_finite: bool,
    model_kwargs: Mapping[str, Any],
) -> Iterator[Array]:
    """Return an iterator over x after every step of a plan; arguments are checked at once."""
    check_sample("x", x)
    if not isinstance(plan.schedule.levels.high, np.ndarray):
        namespace(x, plan.schedule.levels.high)  # raises if they are of two libraries
    denoise = denoiser_for(model, plan.schedule, prediction, clip, check_finite, model_kwargs)
    if prediction is not None or isinstance(model, Denoiser):
        plan = plan.for_prediction(denoise.parameterization)
    return _run(plan, denoise, x, noise_for(x, noise))


def denoiser_for(
    model: Model | Denoiser,
    schedule: "Schedule",
    prediction: Prediction | Parameterization | None,
    clip: Clip | None,
    check_finite: bool,
    model_kwargs: Mapping[str, Any],
) -> Denoiser:
    """Return the network as a denoiser, or the denoiser that was given in its place.

    Raises:
        TypeError: The network cannot be called.
        ValueError: A denoiser is for another schedule, or comes with what only a network takes.
    """
    if not isinstance(model, Denoiser):
        meaning = "epsilon" if prediction is None else prediction
        denoise = Denoiser(model, schedule, meaning, clip=clip, model_kwargs=model_kwargs)
        return denoise.checked_by(FiniteOutput()) if check_finite else denoise
    if prediction not in (None, "epsilon") or clip is not None or model_kwargs:
        raise ValueError(
            "prediction, clip and keywords of the network belong to the Denoiser that is given"
        )
    if not _is_stretch(schedule, model.schedule):
        raise ValueError(
            f"the denoiser is for another schedule: {model.schedule!r}, not {schedule!r}"
        )
    return model.checked_by(FiniteOutput()) if check_finite else model


def _is_stretch(part: "Schedule", whole: "Schedule") -> bool:
    """Whether one schedule is the other, or a slice `s[a:b]` of it."""
    if part is whole or part == whole:
        return True
    if (part.kind, part.network_kind) != (whole.kind, whole.network_kind) or len(part) == 0:
        return False
    levels, of_whole = to_host(part.levels.high), to_host(whole.levels.high)
    start = int(np.searchsorted(-of_whole, -levels[0]))
    return np.array_equal(levels, of_whole[start : start + len(levels)]) and np.array_equal(
        part.timesteps, whole.timesteps[start : start + len(part)]
    )


def last(walk: Iterator[Array], x: Array) -> Array:
    """Return x after the last step; x itself if there is none."""
    for after in walk:
        x = after
    return x


class FiniteOutput:
    """Looks for NaN and infinity in every output of a network, and counts the calls of it."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, output: Any, timestep: int | float) -> None:
        """Raise if the output holds NaN or infinity. What is no array is named by the caller.

        Raises:
            ValueError: It does.
        """
        if is_array(output) and not bool(namespace(output).all(namespace(output).isfinite(output))):
            raise ValueError(
                f"model returned NaN or infinity in call {self.calls} (the first is 0), at "
                f"timestep {timestep}"
            )
        self.calls += 1


def _run(plan: "Plan", denoise: Denoiser, x: Array, draw: "Noise") -> Iterator[Array]:
    """Yield x after the last row of every step."""
    # A network's own output enters the update with one coefficient; what was bounded or changed on
    # the way is an x0 prediction, and enters with that of x0.
    plain = type(denoise) is Denoiser
    raw = plain and denoise.clip is None
    rows = _rows(plan, raw, x)
    c_in, c_x, c_out, alpha, sigma = (
        _numbers(getattr(plan, name), x) for name in ("c_in", "c_x", "c_out", "alpha", "sigma")
    )
    reading = np.stack([to_host(column) for column in (plan.c_in, plan.c_x, plan.c_out)], axis=1)
    determined = np.isfinite(reading).all(axis=1).tolist()
    timesteps, step = plan.timesteps.tolist(), plan.step.tolist()
    learned = None if plan.log_variance is None else _numbers(plan.log_variance, x)
    x = _started(plan, x, draw)
    memories: list[Array | None] = []
    for k, row in enumerate(rows):
        if plain:
            if not determined[k]:
                denoise.require_determined(reading[k].tolist(), timesteps[k], alpha[k])
            output, variance = denoise.output(x, timesteps[k], c_in[k])
            if not raw:
                output = denoise.bounded(c_x[k] * x + c_out[k] * output)
        else:
            output, variance = denoise.predict(x, Point(alpha[k], sigma[k], timesteps[k]))
        memory = None if row.memory is None else _sum(row.memory, (x, output))
        values = [x, output, *(memories[-back] for _, back in row.memories)]
        after = _sum([row.x, row.output, *(weight for weight, _ in row.memories)], values)
        if _given(row.noise):
            deviation = row.noise
            if learned is not None:
                deviation = _learned(deviation, learned[k], variance, x)
            after = after + deviation * draw(x)
        memories.append(memory)
        if len(memories) >= plan.b.shape[1]:
            memories.pop(0)
        x = after
        if k + 1 == len(rows) or step[k + 1] != step[k]:
            yield x


def _started(plan: "Plan", x: Array, draw: "Noise") -> Array:
    scale, noise = (multiplier(value, x) for value in plan.start)
    if _given(noise):
        return scale * x + noise * draw(x)
    return x if isinstance(scale, float) and scale == 1 else scale * x


def _learned(weight: Any, bounds: Any, variance: Array | None, x: Array) -> Array:
    """Return the standard deviation that a network says, between two log-variances."""
    if variance is None:
        raise ValueError(
            "a learned variance needs a network whose output has twice the channels of x on axis "
            f"1, and this one's has the shape of x, {tuple(x.shape)}"
        )
    middle, half = (bounds[0] + bounds[1]) / 2, (bounds[1] - bounds[0]) / 2
    return weight * namespace(x).exp((middle + half * variance) / 2)


def _sum(weights: Any, values: Any) -> Array:
    """Return Σ weight value, without what is multiplied by 0."""
    total = None
    for weight, value in zip(weights, values, strict=True):
        if _given(weight):
            total = weight * value if total is None else total + weight * value
    return 0.0 * values[0] if total is None else total


def _given(weight: Any) -> bool:
    """Whether a coefficient is to be multiplied with: no number 0. Arrays are not looked into."""
    return not isinstance(weight, float) or weight != 0


def _rows(plan: "Plan", raw: bool, x: Array) -> list[Row]:
    """Return the rows with the steps from output to denoised to memory multiplied out.

    Args:
        plan: The table.
        raw: Whether the network's output itself is combined with x, in place of the denoised
            prediction.
        x: What the numbers will multiply.
    """
    of_x, of_output = plan.m_x, plan.m_d
    if raw:
        with np.errstate(invalid="ignore"):  # where x0 is not determined, which is found in time
            of_x, of_output = plan.m_x + plan.m_d * plan.c_x, plan.m_d * plan.c_out
    newest = plan.b[:, 0]
    with np.errstate(invalid="ignore"):
        x_now, output_now = plan.a + newest * of_x, newest * of_output
    later = _asked_for(to_host(plan.b))
    columns = (x_now, output_now, plan.c, of_x, of_output)
    now_x, now_output, noise, kept_x, kept_output = (_numbers(column, x) for column in columns)
    weights, zero, noisy = _numbers(plan.b, x), to_host(plan.b) == 0, to_host(plan.c) != 0
    return [
        Row(
            now_x[k],
            now_output[k],
            [(weights[k][j], j) for j in range(1, zero.shape[1]) if not zero[k, j]],
            noise[k] if noisy[k] else 0.0,
            (kept_x[k], kept_output[k]) if later[k] else None,
        )
        for k in range(len(plan))
    ]


def _asked_for(b: np.ndarray) -> np.ndarray:
    """Return for each row whether a later one reads its memory."""
    asked = np.zeros(len(b), dtype=bool)
    for back in range(1, b.shape[1]):
        asked[: max(len(b) - back, 0)] |= b[back:, back] != 0
    return asked


def _numbers(column: Array, x: Array) -> list[Any]:
    """Return the entries of a column, ready to multiply x: floats, unless a gradient flows."""
    if not carries_gradient(column):
        return list(to_host(column).tolist())
    return [
        _numbers(entry, x) if entry.ndim else multiplier(entry, x)
        for entry in (column[(k, ...)] for k in range(column.shape[0]))
    ]
