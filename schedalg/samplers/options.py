"""Checks of what samplers are given, the same for all of them."""

from typing import TYPE_CHECKING, Any

from schedalg.checks import integer, real_number

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


def checked_order(order: object, highest: int, name: str = "order") -> int:
    """Return an order as an int.

    Raises:
        TypeError: It is no integer.
        ValueError: It is not between 1 and the highest.
    """
    number = integer(name, order)
    if not 1 <= number <= highest:
        allowed = ", ".join(str(k) for k in range(1, highest + 1))
        raise ValueError(f"{name} must be one of {allowed}; got {number}")
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
        f"order={order} of {type(sampler).__name__} needs a schedule of at least {order} steps, "
        f"and this one has {n}"
    )


def optional_order(order: object, highest: int) -> int | None:
    """Return an order as an int, or None as it is.

    Raises:
        TypeError: It is no integer.
        ValueError: It is not between 1 and the highest.
    """
    return None if order is None else checked_order(order, highest)


def chosen_order(schedule: "Schedule", order: int | None, usual: int, sampler: Any) -> int:
    """Return the order to use: the one asked for, or the usual one as far as there are steps.

    Raises:
        ValueError: The schedule has fewer steps than the order that was asked for.
    """
    if order is None:
        return max(1, min(usual, len(schedule)))
    long_enough(schedule, order, sampler)
    return order
