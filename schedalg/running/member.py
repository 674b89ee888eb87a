"""A sample that joins a pool: what it starts from, its conditions, and which others it fits."""

import numbers
from typing import Any, NamedTuple

import numpy as np

from schedalg.arrays import Array, device, given, holds, integer_dtype, is_array, namespace
from schedalg.checks import (
    check_like,
    check_numeric,
    check_readable,
    described,
    is_like,
    real_number,
    shown,
)
from schedalg.plan.plan import Plan
from schedalg.running.initial_noise import initial_noise
from schedalg.running.state import scales_at


class Member(NamedTuple):
    """A sample of a pool."""

    plan: Plan
    conditions: dict[str, Array]


def start_of(
    plan: Plan, seeds: list[int] | None, x: Array | None, shape: tuple[int, ...], like: Array
) -> Array:
    """Return x before the first row, as a batch of one.

    Args:
        plan: The plan.
        seeds: A list of the seed, or None.
        x: What was given, of the pool's shape, or None.
        shape: The pool's.
        like: An array of the pool's library, device and dtype.

    Raises:
        TypeError: x is not an array of the pool's library.
        ValueError: x has another shape, dtype or device; or the seed is needed and missing.
    """
    if seeds is None and (holds(plan.c != 0).any() or given(plan.start[1])):
        raise ValueError("seed is None, and the plan adds noise: give a seed")
    if x is not None:
        empty = namespace(like).empty(shape, dtype=like.dtype, device=device(like))
        check_like("x", x, empty, "a sample of the pool")
        check_readable("x", x)
        return namespace(x).stack([x])  # a copy, whose memory nobody else has in hand
    if seeds is None:
        raise ValueError("seed and x are None: give x, or the seed to make it from")
    if len(plan) and plan._constant(_starts_below):
        raise ValueError(
            f"the plan starts at timestep {plan.timesteps[0].item()}, which is not the "
            "noisiest point of its schedule: give x"
        )
    return initial_noise(plan.schedule, (1, *shape), seeds, like=like)


def condition_of(name: str, value: Any, like: Array) -> Array:
    """Return a condition of one sample as an array of its own, of the library of `like`.

    Raises:
        TypeError: It is neither an array nor a number.
        ValueError: It cannot be read, or is a number that the library cannot hold.
    """
    if isinstance(value, np.generic):
        value = value.item()  # the number in it
    elif is_array(value):
        check_numeric(f"condition {name!r}", value)
        return namespace(value).stack([value])[0, ...]  # a copy
    if not isinstance(value, numbers.Real):
        raise TypeError(
            f"condition {name!r} must be an array or a number for the one sample, got "
            f"{described(value)}: what is the same for all belongs to the network"
        )
    xp, of = namespace(like), device(like)
    if isinstance(value, bool):
        return xp.asarray(value, dtype=xp.bool, device=of)
    if isinstance(value, int):
        dtype = integer_dtype(xp, of)
        if not xp.iinfo(dtype).min <= value <= xp.iinfo(dtype).max:
            least, most = xp.iinfo(dtype).min, xp.iinfo(dtype).max
            raise ValueError(
                f"condition {name!r} is {shown(value)}: integers must be from {least} to {most}"
            )
        return xp.asarray(value, dtype=dtype, device=of)
    number = real_number(f"condition {name!r}", value)
    return xp.asarray(number, dtype=like.dtype, device=of)


def _starts_below(plan: Plan) -> bool:
    """Whether the network is called first where there is less noise than at the last point."""
    alpha, sigma = scales_at(plan, 0)
    signal, noise = plan.schedule.alpha[(-1, ...)], plan.schedule.sigma[(-1, ...)]
    return bool(holds(sigma * signal < alpha * noise * (1 - 1e-6), unseen=False))


def check_fits(new: Member, other: Member) -> None:
    """Raise unless two samples can share a batch.

    Raises:
        ValueError: Their networks are of different kinds, or are given timesteps of different
            dtypes; or their conditions have different names, shapes or dtypes.
    """
    plan, theirs = new.plan, other.plan
    kinds = [each.schedule.network_kind for each in (plan, theirs)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"the plan is for networks of the kind {kinds[0]!r}, and the plans in the pool for "
            f"networks of the kind {kinds[1]!r}: a pool has one network"
        )
    dtypes = [each.timesteps.dtype for each in (plan, theirs)]
    if dtypes[0] != dtypes[1]:
        raise ValueError(
            f"the plan has timesteps in {dtypes[0]}, and the plans in the pool in {dtypes[1]}, and "
            "one call takes one of them: plan.round_timesteps() makes whole numbers"
        )
    names = [sorted(each.conditions) for each in (new, other)]
    if names[0] != names[1]:
        raise ValueError(f"conditions are {names[0]}, and the samples in the pool have {names[1]}")
    for name, condition in new.conditions.items():
        if not is_like(condition, other.conditions[name]):
            raise ValueError(
                f"condition {name!r} has {described(condition)}, and those in the pool have "
                f"{described(other.conditions[name])}"
            )
