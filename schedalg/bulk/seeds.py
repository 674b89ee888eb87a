"""Which seeds a folder holds, in which order, and the blocks that they are cut into."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from schedalg.arrays import is_array, to_host
from schedalg.checks import integer, shown
from schedalg.running.noise import count_of, keys_for


def checked_seeds(seeds: Any) -> Sequence[int]:
    """Return seeds as a range, or as a list of ints.

    Raises:
        TypeError: They are not a sequence of integers.
        ValueError: A seed is outside of 0 to 2^128 - 1.
    """
    if isinstance(seeds, range):
        if count_of(seeds) > sys.maxsize:
            raise ValueError(f"seeds are more than {sys.maxsize}, which no list can hold")
        ends = [*seeds[:1], *seeds[-1:]]
        keys_for("seeds", ends, len(ends))
        return seeds
    if is_array(seeds) and len(seeds.shape) == 1:
        seeds = to_host(seeds).tolist()
    if not isinstance(seeds, Sequence) or isinstance(seeds, str | bytes):
        raise TypeError(
            f"seeds must be a range or a list of integers, one a sample; got {shown(seeds)}"
        )
    chosen = [integer(f"seeds[{i}]", seed) for i, seed in enumerate(seeds)]
    keys_for("seeds", chosen, len(chosen))
    return chosen


def distinct_seeds(seeds: Any) -> Sequence[int]:
    """Return seeds of which none is there twice: a range, or a tuple where they are uneven.

    Raises:
        TypeError: They are not a sequence of integers.
        ValueError: There are none, one is there twice, or one is out of range.
    """
    chosen = checked_seeds(seeds)
    if len(chosen) == 0:
        raise ValueError("seeds is empty: there is nothing to make")
    if not isinstance(chosen, range):
        places: dict[int, int] = {}
        for i, seed in enumerate(chosen):
            if places.setdefault(seed, i) != i:
                raise ValueError(
                    f"seeds[{i}] is {seed}, as seeds[{places[seed]}] is: each sample is made once"
                )
        step = chosen[1] - chosen[0] if len(chosen) > 1 else 1
        even = range(chosen[0], chosen[-1] + (1 if step > 0 else -1), step)
        if len(even) != len(chosen) or any(a != b for a, b in zip(even, chosen, strict=True)):
            return tuple(chosen)
        chosen = even
    step = chosen.step if len(chosen) > 1 else 1
    return range(chosen[0], chosen[-1] + step, step)


def largest_of(seeds: Sequence[int]) -> int:
    """Return the largest seed, without a look at each of a range."""
    return max(seeds[0], seeds[-1]) if isinstance(seeds, range) else max(seeds)


def seeds_to_json(seeds: Sequence[int]) -> Any:
    """Return distinct seeds for JSON: a range as its three numbers."""
    if isinstance(seeds, range):
        return {"start": seeds.start, "stop": seeds.stop, "step": seeds.step}
    return list(seeds)


def seeds_from_json(data: Any) -> Sequence[int]:
    """Return the seeds that `seeds_to_json` wrote.

    Raises:
        TypeError: They are of the wrong type.
        ValueError: They are not what it writes.
    """
    if isinstance(data, Mapping):
        if set(data) != {"start", "stop", "step"}:
            raise ValueError(f"seeds must hold start, stop and step; got {list(data)}")
        numbers = {name: integer(f"{name} of seeds", data[name]) for name in data}
        if numbers["step"] == 0:
            raise ValueError("seeds: step must not be 0")
        return distinct_seeds(range(numbers["start"], numbers["stop"], numbers["step"]))
    return distinct_seeds(data)


def seeds_named(seeds: Sequence[int]) -> str:
    """Return seeds for a message: all of a few, and the ends of many."""
    if len(seeds) <= 8:
        return ", ".join(map(str, seeds))
    return f"{seeds[0]}, {seeds[1]}, …, {seeds[-1]} ({len(seeds)} seeds)"
