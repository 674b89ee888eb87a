"""Ancestral sampling: each step draws from q(x_s | x_t, x0), with x0 as the network predicts it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from schedalg.arrays import Array
from schedalg.samplers.base import Denoise, Noise

if TYPE_CHECKING:
    from schedalg.schedule import Point, Schedule

#: The posterior's own variance, or that of the whole forward step.
Variance: TypeAlias = Literal["fixed_small", "fixed_large"]


@dataclass(frozen=True)
class DDPM:
    """The sampler of DDPM, on the path of any scale.

    With r = 1 - SNR_t/SNR_s: x_s = alpha_s r x0 + (alpha_t/alpha_s)(sigma_s²/sigma_t²) x_t + std z.
    No noise is added in a step that arrives at clean data.

    Args:
        variance: "fixed_small", the posterior's sigma_s² r, right for data that are a point; or
            "fixed_large", the forward step's sigma_t² r, right for data of unit variance (β on a
            variance-preserving path).

    Raises:
        ValueError: `variance` is unknown.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDPM, Schedule, sample
        >>> fast = Schedule.linear(1000).subsample(steps=20)
        >>> model = lambda x, timestep: x  # "all of x is noise"
        >>> sample(model, fast, DDPM(), np.ones((2, 3)), noise=0).shape
        (2, 3)

    Source: Ho et al., arXiv 2006.11239, equations 6, 7 and section 3.2.
    """

    variance: Variance = "fixed_small"

    def __post_init__(self) -> None:
        if self.variance not in get_args(Variance):
            allowed = ", ".join(map(repr, get_args(Variance)))
            raise ValueError(f"variance must be one of {allowed}; got {self.variance!r}")

    def init(self, x: Array, schedule: "Schedule") -> None:
        """Return None: a step needs no past."""

    def step(
        self, x: Array, t: "Point", s: "Point", denoise: Denoise, noise: Noise, state: None
    ) -> tuple[Array, None]:
        """Return a draw of x at point s."""
        x0 = denoise(x, t)
        if s.sigma == 0:
            return s.alpha * x0, None
        fall = snr_drop(t, s)
        keep = (t.alpha / s.alpha) * (s.sigma / t.sigma) ** 2
        std = (s.sigma if self.variance == "fixed_small" else t.sigma) * fall**0.5
        return s.alpha * fall * x0 + keep * x + std * noise(x), None


def snr_drop(t: "Point", s: "Point") -> float:
    """Return 1 - SNR_t / SNR_s, the fraction of the signal-to-noise ratio that t has lost to s."""
    ratio = (t.alpha / s.alpha) * (s.sigma / t.sigma)
    drop: float = (1 - ratio) * (1 + ratio)
    return drop
