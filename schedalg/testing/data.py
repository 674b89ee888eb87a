"""`Mixture`: data with a known optimal network and a known flow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from schedalg.arrays import Array, namespace
from schedalg.checks import real_number
from schedalg.network.denoiser import AnyDenoiser, Denoiser
from schedalg.schedule import Point, Schedule
from schedalg.schedule.timesteps import named


@dataclass(frozen=True)
class Mixture:
    """Data drawn from a mixture of Gaussians, or from one Gaussian.

    At a noise level, x ~ Σ_i w_i N(alpha m_i, alpha² s_i² + sigma²), and

        E[x0 | x] = Σ_i r_i (m_i + g_i (x - alpha m_i)), g_i = alpha s_i² / (alpha² s_i² + sigma²),

    with r_i the share of component i in the density at x. The probability flow carries each
    quantile at one noise level to the same quantile at another, which is what an ODE sampler
    approximates.

    Args:
        means: m_i.
        spreads: s_i, the standard deviations; all 0 for data that are points.
        weights: w_i; equal by default.

    Raises:
        TypeError: An argument does not hold numbers.
        ValueError: The arguments differ in length or are empty, or a number is out of range.

    Example:
        >>> from schedalg import Schedule
        >>> from schedalg.testing import Mixture
        >>> s = Schedule.linear(1000)
        >>> float(Mixture([0.5], [0.1]).marginal_std(s[0]) ** 2 * 1e4).__round__(3)
        100.99
    """

    means: Sequence[float]
    spreads: Sequence[float]
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        count = len(self.means)
        weights = [1 / max(count, 1)] * count if self.weights is None else list(self.weights)
        if not count or len(self.spreads) != count or len(weights) != count:
            raise ValueError(
                f"means, spreads and weights must have the same length, at least 1; got {count}, "
                f"{len(self.spreads)} and {len(weights)}"
            )
        for name, values in (
            ("means", self.means),
            ("spreads", self.spreads),
            ("weights", weights),
        ):
            numbers = tuple(real_number(f"{name}[{i}]", value) for i, value in enumerate(values))
            object.__setattr__(self, name, numbers)
        if min(self.spreads) < 0:
            raise ValueError(f"spreads must be at least 0, got {self.spreads}")
        if min(weights) <= 0 or abs(sum(weights) - 1) > 1e-12:
            raise ValueError(f"weights must be above 0 and sum to 1, got {tuple(weights)}")

    def denoiser(self, schedule: Schedule) -> AnyDenoiser:
        """Return the optimal network, as a denoiser of a schedule.

        It predicts x0. On a flow whose timesteps follow from t, it predicts "flow" unless a spread
        is 0, and so can be called at clean data.
        """
        rule = schedule.timestep_rule
        function, factor = named(rule) if isinstance(rule, str) else ("", 1.0)
        is_flow = schedule.network_kind == "flow" and function == "flow_time"
        if not is_flow or min(self.spreads) == 0:
            return Denoiser.from_function(self.expectation, schedule)

        def velocity(x: Array, timesteps: Array) -> Array:
            xp = namespace(x)
            t = xp.astype(timesteps, x.dtype) / factor
            t = xp.reshape(t, (-1,) + (1,) * (x.ndim - 1))
            x0, eps = self._predictions(x, 1 - t, t)
            return eps - x0

        return Denoiser(velocity, schedule, "flow")

    def expectation(self, x: Array, t: Point) -> Array:
        """Return E[x0 | x] at a point."""
        return self._predictions(x, t.alpha, t.sigma)[0]

    def _predictions(self, x: Array, alpha: Any, sigma: Any) -> tuple[Array, Array]:
        """Return E[x0 | x] and E[eps | x]."""
        xp = namespace(x)
        densities, means, noises = [], [], []
        for weight, mean, spread in self._components():
            variance = alpha**2 * spread**2 + sigma**2
            away = x - alpha * mean
            densities.append(math.log(weight) - away**2 / (2 * variance) - _log(variance) / 2)
            means.append(mean + (alpha * spread**2 / variance) * away)
            noises.append(sigma / variance * away)
        if len(means) == 1:
            return means[0], noises[0]
        logits = xp.stack(densities)
        shares = xp.exp(logits - xp.max(logits, axis=0))
        total = xp.sum(shares, axis=0)
        x0, eps = (xp.sum(shares * xp.stack(each), axis=0) / total for each in (means, noises))
        return x0, eps

    def end_of_flow(self, schedule: Schedule) -> AnyDenoiser:
        """Return a denoiser that predicts the end of the flow from x, for a single Gaussian.

        Consistency models are distilled to predict it.

        Raises:
            ValueError: The mixture has several components.
        """
        if len(self.means) != 1:
            raise ValueError("only the flow of a single Gaussian has a closed form")
        (_, mean, spread) = self._components()[0]
        return Denoiser.from_function(
            lambda x, t: mean + spread / _std(t, spread) * (x - t.alpha * mean), schedule
        )

    def flow(self, x: np.ndarray, t: Point, s: Point) -> np.ndarray:
        """Return the x at point s to which the probability flow carries x from point t.

        It is exact to rounding for x within a few standard deviations of the mean.
        """
        if len(self.means) == 1:
            (_, mean, spread) = self._components()[0]
            ratio = _std(s, spread) / _std(t, spread)
            return np.asarray(s.alpha * mean + ratio * (x - t.alpha * mean))
        shares = self._distribution(x, t)
        width = 40 * max(_std(s, spread) for _, _, spread in self._components())
        centre = s.alpha * sum(w * m for w, m, _ in self._components())
        low: np.ndarray = np.full(x.shape, centre - width)
        high: np.ndarray = np.full(x.shape, centre + width)
        for _ in range(120):
            middle = (low + high) / 2
            below = self._distribution(middle, s) < shares
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray((low + high) / 2)

    def marginal_std(self, t: Point) -> float:
        """Return the standard deviation of x at a point."""
        mean = sum(w * m for w, m, _ in self._components())
        second = sum(w * (_std(t, s) ** 2 + (t.alpha * m) ** 2) for w, m, s in self._components())
        return float((second - (t.alpha * mean) ** 2) ** 0.5)

    def _distribution(self, x: np.ndarray, t: Point) -> np.ndarray:
        """Return the cumulative distribution function of x at a point."""
        erf = np.vectorize(math.erf, otypes=[np.float64])
        total = np.zeros(x.shape)
        for weight, mean, spread in self._components():
            away = (x - t.alpha * mean) / (_std(t, spread) * math.sqrt(2))
            total += weight * (1 + erf(away)) / 2
        return total

    def _components(self) -> list[tuple[float, float, float]]:
        return list(zip(self.weights or (), self.means, self.spreads, strict=True))


def _std(t: Point, spread: float) -> float:
    return float((t.alpha**2 * spread**2 + t.sigma**2) ** 0.5)


def _log(value: Any) -> Any:
    return math.log(value) if isinstance(value, float) else namespace(value).log(value)
