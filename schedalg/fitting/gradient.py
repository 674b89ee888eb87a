"""How a loss of a plan's results changes with the plan's columns, by the network's own gradient."""

from typing import Any, NamedTuple

import numpy as np

from schedalg.arrays import (
    Array,
    device,
    known,
    namespace,
    real_dtype,
    requires_gradient,
    type_name,
)
from schedalg.checks import raise_stopped
from schedalg.fitting.samples import wide
from schedalg.fitting.trajectories import Trajectories
from schedalg.network.denoiser import AnyDenoiser
from schedalg.plan.plan import Plan
from schedalg.schedule import Point


class Walk(NamedTuple):
    """All samples on their way through a plan.

    Attributes:
        x: Before each row, and after the last one.
        x0: The prediction of each row.
    """

    x: list[np.ndarray]
    x0: list[np.ndarray]


class PlanSlopes(NamedTuple):
    """The derivatives of a loss by the columns of a plan.

    Attributes:
        a: (K,).
        b: (K, m).
        points: (K, 3): by alpha, sigma and the timestep with which the network is called, where
            they were asked for; else 0.
    """

    a: np.ndarray
    b: np.ndarray
    points: np.ndarray


def slopes_of(
    plan: Plan, trajectories: Trajectories, walk: Walk, slope: np.ndarray, asked: np.ndarray
) -> PlanSlopes:
    """Return the derivatives of a loss by the columns of a plan, from the last row to the first.

    With g the derivative by x after a row, that by a is g x, by b_j g x0_{k-j}, and by x before the
    row a g plus that of the predictions that read it, which is a product of the network's Jacobian.
    So the network is called once more in each row, and only that call is held in memory.

    Args:
        plan: A plan of one call a row, which remembers x0.
        trajectories: The network.
        walk: The samples' way through the plan.
        slope: The derivative of the loss by the results.
        asked: (K, 2), whether the loss depends on alpha and sigma of a row's point, and whether on
            its timestep.

    Raises:
        TypeError: The library of the samples follows no gradients.
        ValueError: No gradient leads back through the network, or one is NaN or infinite.
    """
    of_a, of_b, of_points = np.zeros(len(plan)), np.zeros_like(plan.b), np.zeros((len(plan), 3))
    of_x0 = [np.zeros_like(slope) for _ in range(len(plan))]
    denoise = trajectories.denoise.checked_by(_check_followed)
    for k in range(len(plan) - 1, -1, -1):
        of_a[k] = np.vdot(slope, walk.x[k])
        for back in range(min(plan.b.shape[1], k + 1)):
            of_b[k, back] = np.vdot(slope, walk.x0[k - back])
            of_x0[k - back] = of_x0[k - back] + plan.b[k, back] * slope
        like = trajectories.states[0]
        of_x, of_points[k] = _pulled(denoise, plan, k, walk.x[k], of_x0[k], like, asked[k])
        slope = plan.a[k] * slope + of_x
    return PlanSlopes(of_a, of_b, of_points)


def _pulled(
    denoise: AnyDenoiser,
    plan: Plan,
    k: int,
    x: np.ndarray,
    slope: np.ndarray,
    like: Array,
    asked: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivatives by x and by the numbers of a row's point, from that by its x0."""
    xp, place, library = namespace(like), device(like), known(like)
    point = [float(plan.alpha[k]), float(plan.sigma[k]), plan.timesteps[k].item()]
    followed = [i for i, moves in enumerate((asked[0], asked[0], asked[1])) if moves]
    dtype = real_dtype(xp, place)
    numbers = [xp.asarray(float(point[i]), dtype=dtype, device=place) for i in followed]

    def predict(x: Array, *numbers: Any) -> Array:
        at: list[Any] = list(point)
        for i, number in zip(followed, numbers, strict=True):
            at[i] = number
        return denoise(x, Point(*at))

    try:
        found = library.pullback(predict, library.array_like(x, like), *numbers)
    except StopIteration as error:
        raise_stopped(error, "model or clip")
    if found is None:
        raise TypeError(
            f"states are of {type_name(like)}, whose library follows no gradients: give them as "
            "tensors of torch or arrays of JAX, or gradient=False"
        )
    # Scaled, since half precision has no room for the derivatives of a mean.
    size = float(np.abs(slope).max()) or 1.0
    products = found[1](library.array_like(slope / size, like))
    of_x, *of_numbers = (size * wide(part) for part in products)
    of_point = np.zeros(3)
    of_point[followed] = [float(part) for part in of_numbers]
    if not (np.isfinite(of_x).all() and np.isfinite(of_point).all()):
        raise ValueError(
            f"the gradient of the prediction at timestep {point[2]} is NaN or infinite: "
            "gradient=False needs none"
        )
    return of_x, of_point


def _check_followed(output: Array, timestep: float) -> None:
    if not requires_gradient(output):
        raise ValueError(
            f"no gradient leads back through the output of model at timestep {timestep}: it is "
            "computed under torch.no_grad(), or detached; give gradient=False for such a network"
        )
