"""Checks of the arguments that samplers have in common."""

from typing import TYPE_CHECKING, Any

from schedalg.checks import integer, real_number

if TYPE_CHECKING:
    from schedalg.schedule import Schedule


def checked_eta(eta: object) -> float:
    """Return eta, a share of noise, as a Python float.

    Raises:
        TypeError: `eta` is not a number.
        ValueError: `eta` is outside [0, 1].
    """
    number = real_number("eta", eta)
    if not 0 <= number <= 1:
        raise ValueError(f"eta must be in [0, 1], got {number!r}")
    return number


def checked_order(order: object, highest: int, name: str = "order") -> int:
    """Return an order as an int.

    Raises:
        TypeError: `order` is not an integer.
        ValueError: `order` is not between 1 and `highest`.
    """
    number = integer(name, order)
    if not 1 <= number <= highest:
        allowed = ", ".join(str(k) for k in range(1, highest + 1))
        raise ValueError(f"{name} must be one of {allowed}; got {number}")
    return number


def long_enough(schedule: "Schedule", order: int, sampler: Any) -> None:
    """Raise if a schedule has fewer steps than a method of this order needs.

    A schedule of one step to clean data is always allowed: there every method returns the x0
    prediction.

    Raises:
        ValueError: The schedule has fewer steps than `order`.
    """
    n = len(schedule)
    if n >= order or n == 0 or (n == 1 and schedule.origin.sigma == 0):
        return
    raise ValueError(
        f"order={order} of {type(sampler).__name__} needs a schedule of at least {order} steps, "
        f"and this one has {n}"
    )


def optional_order(order: object, highest: int) -> int | None:
    """Return an order as an int, or None unchanged.

    Raises:
        TypeError: `order` is not an integer.
        ValueError: `order` is not between 1 and `highest`.
    """
    return None if order is None else checked_order(order, highest)


def chosen_order(schedule: "Schedule", order: int | None, usual: int, sampler: Any) -> int:
    """Return the given order; if None, the usual one, or the number of steps if that is less.

    Raises:
        ValueError: The schedule has fewer steps than the given order.
    """
    if order is None:
        return max(1, min(usual, len(schedule)))
    long_enough(schedule, order, sampler)
    return order
