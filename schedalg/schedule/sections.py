"""Points of each of several parts of a schedule, as guided-diffusion chooses them."""

from collections.abc import Sequence
from typing import Any

from schedalg.arrays import is_array
from schedalg.checks import host_array, positive_integer, shown


def sections_of(n: int, sections: Any) -> list[int]:
    """Return the indices that guided-diffusion keeps of n, for section counts or "ddimN".

    Within a section of `size` points of which `count` are kept, a position advances by
    (size - 1) / (count - 1) and is rounded half to even. It is accumulated in floating point, which
    for 278 of the counts up to 1000 gives other indices than multiplying would.

    Raises:
        TypeError: A count is not an integer.
        ValueError: A count is below 1 or more than its section holds, or no stride gives N points.
    """
    if isinstance(sections, str):
        if sections.startswith("ddim"):
            return _ddim_stride(n, sections)
        sections = [_count(part, sections) for part in sections.split(",")]
    elif isinstance(sections, Sequence) or (is_array(sections) and sections.ndim > 0):
        sections = host_array("sections", sections).tolist()
    else:
        sections = [sections]
    counts = [positive_integer(f"sections[{i}]", count) for i, count in enumerate(sections)]
    if not counts:
        raise ValueError("sections is empty: at least one count is needed")
    size_each, extra = divmod(n, len(counts))
    kept: list[int] = []
    start = 0
    for i, count in enumerate(counts):
        size = size_each + (i < extra)
        if count > size:
            raise ValueError(f"sections[{i}] is {count}: section {i} of {n} points holds {size}")
        stride = (size - 1) / (count - 1) if count > 1 else 1.0
        position = 0.0
        for _ in range(count):
            kept.append(start + round(position))
            position += stride
        start += size
    return kept


def _count(text: str, sections: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"sections must be counts such as '10,15,20', or 'ddimN'; got {shown(sections)}"
        ) from None


def _ddim_stride(n: int, sections: str) -> list[int]:
    count = _count(sections.removeprefix("ddim"), sections)
    stride = -(-n // count) if count >= 1 else n
    if stride < max(n, 2) and len(range(0, n, stride)) == count:
        return list(range(0, n, stride))
    raise ValueError(f"sections is {shown(sections)}: no whole stride takes {count} of {n} points")
