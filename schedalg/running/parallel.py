"""`parallel`: the rows of a plan at the same time, again and again until x stands still."""

import math
from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np

from schedalg.arrays import (
    Array,
    compiling,
    has_values,
    host_number,
    is_array,
    namespace,
    weighted,
    widened,
)
from schedalg.checks import (
    check_sample,
    number_or_infinity,
    positive_integer,
    raise_stopped,
)
from schedalg.network.bounds import Clip
from schedalg.network.denoiser import AnyDenoiser, Denoiser, output_of
from schedalg.network.guidance import ClassifierFreeGuidance
from schedalg.network.model import Model
from schedalg.parameterization import Parameterization, Prediction
from schedalg.plan.plan import Plan, as_plan
from schedalg.running import execution
from schedalg.running.backend import backend_for
from schedalg.running.calling import NetworkOptions, denoiser_for
from schedalg.running.noise import NoiseSource
from schedalg.running.preparation import timesteps_of
from schedalg.running.state import Run, reading_weights_at


def parallel(
    plan: Plan,
    model: Model | AnyDenoiser,
    x: Array,
    *,
    prediction: Prediction | Parameterization | None = None,
    clip: Clip | None = None,
    noise: NoiseSource = None,
    tolerance: float = 0.0,
    window: int | None = None,
    **model_kwargs: Any,
) -> Array:
    """Return what `run(plan, model, x, ...)` returns, by fewer and larger calls of the network.

    For a device that one sample does not fill. All rows' x are guessed. In a sweep, the network is
    called once for the x of all rows, a batch of K B samples, and with its x0 predictions the plan
    is run: that gives a better guess of all x. After j sweeps, x before row j is that of `run`,
    to the same bits, if the network treats the samples of a batch independently. So K sweeps
    are always enough; usually x stops changing after a few, and then it is right too. The noise of
    a row is a function of its key, and so the same in every sweep.

    K + 1 arrays like x are held.

    Args:
        plan: The plan, K rows.
        model: The network, as `run` takes it. Keywords that are arrays of B entries, and those of a
            `ClassifierFreeGuidance`, are repeated for the rows. What `Denoiser.from_function` makes
            is called for one noise level, and cannot be given.
        x: (B, ...), as `run` takes it.
        prediction: As in `sample`.
        clip: As in `sample`.
        noise: A seed, or a list of seeds, as in `sample`. None: a seed at random.
        tolerance: A row is done when its x changes by no more in a sweep: the root mean square over
            a sample, in units of sqrt(alpha² + sigma²) of the row. 0: when nothing changes.
        window: How many rows are done at the same time, the next ones of those that are not done
            yet. It bounds the batch of the network. None: all.
        **model_kwargs: Passed to the network in every call.

    Returns:
        An array like x.

    Raises:
        TypeError: An argument is of the wrong type; or the model is a denoiser made of a function.
        ValueError: An argument has a wrong value; noise is drawn by a generator or a function; the
            call is traced by a compiler, or a gradient flows through the plan; or x after a row is
            NaN, as it is where the network's output is.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDPM, Schedule, parallel, run
        >>> plan = DDPM().plan(Schedule.linear(1000).subsample(steps=50))
        >>> x, calls = np.ones((1, 2)), []
        >>> def model(x, timesteps):
        ...     calls.append(len(x))
        ...     return x / (1 + x * x)
        >>> at_once = parallel(plan, model, x, noise=7)
        >>> print(len(calls) < 50, calls[0])
        True 50
        >>> bool((at_once == run(plan, model, x, noise=7)).all())
        True

    Source: Shih et al., arXiv 2305.16317.
    """
    options = NetworkOptions(prediction, clip, False, model_kwargs)
    rows = all_rows(plan, model, x, options, noise, tolerance, window)
    try:
        while not rows.done:
            rows.sweep()
    except StopIteration as error:
        raise_stopped(error, "model or clip")
    return rows.states[-1]


def all_rows(
    plan: Plan,
    model: Model | AnyDenoiser,
    x: Array,
    options: NetworkOptions,
    noise: NoiseSource,
    tolerance: float,
    window: int | None,
) -> "AllRows":
    """Return all rows before the first sweep; arguments are checked."""
    as_plan("plan", plan)
    check_sample("x", x)
    if compiling(x) or not has_values(x) or not isinstance(plan.a, np.ndarray):
        raise ValueError(
            "x or plan is traced, or a gradient flows through plan: parallel must see whether x "
            "stands still, and takes a plan of numbers outside of compiled functions"
        )
    tolerance = number_or_infinity("tolerance", tolerance)
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0, got {tolerance}")
    size = len(plan) if window is None else positive_integer("window", window)
    denoise = denoiser_for(model, plan.schedule, options)
    if not isinstance(denoise, Denoiser):
        raise TypeError(
            "model must be a network or a Denoiser of one: a denoiser made of a function is called "
            "for one noise level, and here several are in a batch"
        )
    unset = NetworkOptions(None, None, False, {})
    run, _ = execution.prepared(plan, denoise, x, unset, noise, reuse=False)
    if callable(run.source):
        raise ValueError(
            "noise must be a seed, or a list of seeds: a generator or a function draws other noise "
            "in every sweep"
        )
    return AllRows(run, denoise, tolerance, size)


class AllRows:
    """x on its whole way through a plan: right up to a row, and guessed from there on.

    Args:
        run: A run at the first row.
        denoise: The network.
        tolerance: See `parallel`.
        window: How many rows are done at the same time.

    Attributes:
        front: The row up to which the states are right.
        states: x before each row, as far as they were guessed, and in the end after the last one.
    """

    def __init__(self, run: Run, denoise: Denoiser, tolerance: float, window: int) -> None:
        self.first, self.denoise, self.tolerance, self.window = run, denoise, tolerance, window
        self.plan, self.backend = run.plan, backend_for(run.x)
        self.scale: list[float] = np.sqrt(run.plan.alpha**2 + run.plan.sigma**2).tolist()
        self.timesteps = timesteps_of(run.plan, run.rows, run.x, self.backend)
        self.front = 0
        self.memories: tuple[Array, ...] = ()
        self.states = [run.x]
        self.inputs = [] if run.done else [run.input]

    @property
    def done(self) -> bool:
        """Whether all states are right, as those without elements are."""
        return self.front == len(self.plan) or 0 in self.states[0].shape

    def sweep(self) -> None:
        """Call the network for the next rows at once, and take x through them."""
        front, states, inputs = self.front, self.states, self.inputs
        end = min(front + self.window, len(self.plan))
        self._guess(end)
        run = self._resumed()
        right = True
        for k, (output, variance) in zip(range(front, end), self._outputs(end), strict=True):
            x, before = run.x, states[k]
            change = 0.0 if k == front else _change(before, x)
            right = right and change <= self.tolerance * self.scale[k]
            if change:
                output = self._moved(k, output, before, x)
            states[k] = x
            run.take(output, run.bounded(output), variance)
            if right:
                self._check_stands(k, run.x)
                self.front, self.memories = k + 1, tuple(run.memories())
            if not run.done:
                inputs[k + 1 : k + 2] = [run.input]
        states[end:] = [run.x]

    def _guess(self, end: int) -> None:
        """Guess the states of rows that are new in the window: the last one, in their scale."""
        known = len(self.states) - 1
        for k in range(known + 1, end):
            guess = weighted([(self.scale[k] / self.scale[known], self.states[known])])
            self.states.append(guess)
            self.inputs.append(weighted([(self.first.rows.rows[k].c_in, guess)]))

    def _resumed(self) -> Run:
        """Return a run at the first row that is not done."""
        first = self.first
        return Run(
            self.plan,
            first.meaning,
            first.bound,
            first.rows,
            self.backend,
            self.states[self.front],
            first.source,
            reuse=False,
            row=self.front,
            memories=self.memories,
        )

    def _outputs(self, end: int) -> list[tuple[Array, Array | None]]:
        """Call the network once for the rows up to `end`; return each row's output and variance."""
        xp, batch = namespace(self.states[0]), self.states[0].shape[0]
        rows = end - self.front
        denoise = _repeated(self.denoise, rows, batch)
        output, variance = output_of(denoise)(
            xp.concat(self.inputs[self.front : end]),
            xp.concat(list(self.timesteps[self.front : end])),
        )
        parts = [slice(i * batch, (i + 1) * batch) for i in range(rows)]
        return [
            (output[part, ...], None if variance is None else variance[part, ...]) for part in parts
        ]

    def _check_stands(self, k: int, x: Array) -> None:
        """Raise if x after row k, which is right, holds NaN.

        Raises:
            ValueError: It does.
        """
        if bool(namespace(x).any(namespace(x).isnan(x))):
            raise ValueError(
                f"x after row {k} holds NaN, which never stands still: look for NaN or infinity in "
                f"x and in what model returns at timestep {self.first.rows.timesteps[k]}"
            )

    def _moved(self, k: int, output: Array, before: Array, x: Array) -> Array:
        """Return the output that says of x what `output` says of x before the sweep: the same x0.

        With the output itself, a change of x would change x0 by far more where there is little
        signal: by 1/alpha times as much, if the network predicts epsilon.
        """
        c_x, c_out = reading_weights_at(self.plan, self.first.meaning, k)
        ratio = c_x / c_out if c_out else math.nan
        if not math.isfinite(ratio):
            return output
        return weighted([(1.0, output), (ratio, widened(before) - widened(x))])


def _change(before: Array, x: Array) -> float:
    """Return the largest root mean square change of a sample; 0 only if nothing changed."""
    xp = namespace(x)
    if bool(xp.all(before == x)):
        return 0.0
    off = xp.reshape(widened(before) - widened(x), (x.shape[0], -1))
    largest = host_number(xp.max(xp.sqrt(xp.mean(off * off, axis=1))))
    return largest or math.ulp(0.0)  # where the squares are below the smallest number


def _repeated(denoise: Denoiser, times: int, batch: int) -> Denoiser:
    """Return a denoiser for a batch that holds every sample several times."""
    many = copy(denoise)
    many.model_kwargs = _tiled(denoise.model_kwargs, times, batch)
    if isinstance(denoise.model, ClassifierFreeGuidance):
        many.model = guided = copy(denoise.model)
        guided.cond = _tiled(guided.cond, times, batch)
        guided.uncond = _tiled(guided.uncond, times, batch)
    return many


def _tiled(value: Any, times: int, batch: int) -> Any:
    """Return a keyword's value with its arrays of one entry a sample repeated."""
    if is_array(value) and value.ndim > 0 and value.shape[0] == batch:
        return namespace(value).concat([value] * times)
    if isinstance(value, Mapping):
        return {name: _tiled(each, times, batch) for name, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_tiled(each, times, batch) for each in value)
    return value
