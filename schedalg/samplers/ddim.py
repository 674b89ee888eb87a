"""The implicit sampler: the same marginals as DDPM, with as much noise as you like, or none."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedalg.arrays import Array, real_number
from schedalg.samplers.base import Denoise, Noise
from schedalg.samplers.steps import snr_change

if TYPE_CHECKING:
    from schedalg.point import Point
    from schedalg.schedule import Schedule


@dataclass(frozen=True)
class DDIM:
    """DDIM, of order 1 where eta is 0.

    eps = (x_t - alpha_t x0) / sigma_t; x_s = alpha_s x0 + sqrt(sigma_s² - std²) eps + std z, where
    std = eta sigma_s sqrt(1 - SNR_t/SNR_s). The network is the one that DDPM trains.

    Args:
        eta: 0 for the deterministic sampler, 1 for DDPM's variance ("fixed_small"); in [0, 1].

    Raises:
        TypeError: `eta` is no number.
        ValueError: `eta` is outside [0, 1].

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Schedule, sample
        >>> schedule = Schedule.linear(1000)
        >>> alpha = schedule.alpha
        >>> def model(x, timestep):  # the optimal network for data that are all 0.5
        ...     return (x - alpha[timestep, None] * 0.5) / schedule.sigma[timestep, None]
        >>> sample(model, schedule.subsample(steps=5), DDIM(), np.ones((1, 2))).round(12)
        array([[0.5, 0.5]])

    Source: Song et al., arXiv 2010.02502, equations 12 and 16.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        eta = real_number("eta", self.eta)
        if not 0 <= eta <= 1:
            raise ValueError(f"eta must be in [0, 1], got {eta!r}")
        # A float of NumPy's own would draw a float32 sample to float64.
        object.__setattr__(self, "eta", eta)

    def init(self, x: Array, schedule: "Schedule") -> None:
        """Return None: a step needs no past."""

    def step(
        self, x: Array, t: "Point", s: "Point", denoise: Denoise, noise: Noise, state: None
    ) -> tuple[Array, None]:
        """Return x at point s."""
        x0 = denoise(x, t)
        if s.sigma == 0:
            return s.alpha * x0, None
        eps = (x - t.alpha * x0) / t.sigma
        if self.eta == 0:
            return s.alpha * x0 + s.sigma * eps, None
        drop, root = snr_change(t, s)
        std = self.eta * s.sigma * drop**0.5
        # 1 - eta² (1 - root²), as a sum; 0 where all of the noise is new.
        kept = (1 - self.eta**2) + self.eta**2 * root**2
        mean = s.alpha * x0 + (s.sigma * kept**0.5) * eps if kept > 0 else s.alpha * x0
        return mean + std * noise(x), None
