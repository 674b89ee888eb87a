"""Checks of what samplers are given, the same for all of them."""

from typing import TYPE_CHECKING, Any

from schedalg.arrays import integer, real_number

if TYPE_CHECKING:
    from schedalg.schedule import Schedule


def checked_eta(eta: object) -> float:
    """Return a share of noise as a float of Python's own.

    Raises:
        TypeError: It is no number.
        ValueError: It is outside [0, 1].
    """
    number = real_number("eta", eta)
    if not 0 <= number <= 1:
        raise ValueError(f"eta must be in [0, 1], got {number!r}")
    return number


def checked_order(order: object, highest: int) -> int:
    """Return an order as an int.

    Raises:
        TypeError: It is no integer.
        ValueError: It is not between 1 and the highest.
    """
    number = integer("order", order)
    if not 1 <= number <= highest:
        allowed = ", ".join(str(k) for k in range(1, highest + 1))
        raise ValueError(f"order must be one of {allowed}; got {number}")
    return number


def long_enough(schedule: "Schedule", order: int, sampler: Any) -> None:
    """Raise if a schedule has fewer steps than a method of this order needs.

    One step to clean data is the prediction itself, in every method and of any order.

    Raises:
        ValueError: It has.
    """
    n = len(schedule)
    if n >= order or n == 0 or (n == 1 and schedule.origin.sigma == 0):
        return
    raise ValueError(
        f"order={order} of {type(sampler).__name__} needs a schedule of at least {order} steps, and "
        f"this one has {n}"
    )
