"""Ancestral sampling: each step draws from q(x_s | x_t, x0), with x0 as the network predicts it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from schedalg.arrays import Array
from schedalg.samplers.base import Denoise, Noise
from schedalg.samplers.steps import snr_change

if TYPE_CHECKING:
    from schedalg.point import Point
    from schedalg.schedule import Schedule

#: The posterior's own variance, or that of the whole forward step.
Variance: TypeAlias = Literal["fixed_small", "fixed_large"]


@dataclass(frozen=True)
class DDPM:
    """The sampler of DDPM, on the path of any scale.

    With r = 1 - SNR_t/SNR_s: x_s = alpha_s r x0 + sqrt(1 - r) (sigma_s/sigma_t) x_t + std z.
    No noise is added in a step that arrives at clean data.

    Args:
        variance: "fixed_small", the posterior's sigma_s² r, right for data that are a point; or
            "fixed_large", the forward step's sigma_t² r: on a variance-preserving path that is β,
            and right for data of unit variance.

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
        drop, root = snr_change(t, s)
        std = (s.sigma if self.variance == "fixed_small" else t.sigma) * drop**0.5
        mean = (s.alpha * drop) * x0 + (root * (s.sigma / t.sigma)) * x
        return mean + std * noise(x), None
