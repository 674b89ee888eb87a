"""The check of parameterizations, which raises an AssertionError with what it found."""

import numpy as np

from schedalg.network.denoiser import Denoiser
from schedalg.parameterization import Parameterization, Prediction, convert
from schedalg.schedule import Schedule


def check_parameterization(
    parameterization: Parameterization | Prediction, schedule: Schedule | None = None
) -> None:
    """Check that a perfect network's output gives x0, and converts to v and back.

    Args:
        parameterization: The parameterization to check.
        schedule: The noise levels to check. None: `Schedule.cosine(50)`.

    Example:
        >>> from schedalg import edm
        >>> from schedalg.testing import check_parameterization
        >>> check_parameterization(edm(0.3))
    """
    schedule = Schedule.cosine(50) if schedule is None else schedule
    x0, eps = np.random.default_rng(0).standard_normal((2, 3, 2))
    for k, point in enumerate(schedule):
        if point.alpha < 1e-6 * point.sigma:  # x0 cannot be recovered
            continue
        x, output = schedule.add_noise(x0, eps, k), schedule.target(x0, eps, k, parameterization)
        denoise = Denoiser(lambda x, t, y=output: y, schedule, parameterization)
        # The rounding of x = alpha x0 + sigma eps is amplified by 1 / alpha.
        rtol = 1e-11 * max(1.0, point.sigma / point.alpha)
        np.testing.assert_allclose(denoise(x, point), x0, rtol=rtol, atol=rtol, err_msg=str(point))
        v = convert(output, x, point, parameterization, "v")
        back = convert(v, x, point, "v", parameterization)
        np.testing.assert_allclose(back, output, rtol=rtol, atol=rtol, err_msg=str(point))
