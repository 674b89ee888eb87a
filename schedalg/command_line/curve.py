"""A curve drawn with characters that every terminal has."""

import numpy as np

#: Rows of a curve; each holds two heights.
ROWS = 12
#: A point in the lower half of a row, in the upper half, and both.
MARKS = {1: ".", 2: "'", 3: ":"}


def drawn(values: np.ndarray, title: str, width: int) -> str:
    r"""Return values, evenly spaced from left to right, as a curve of at most `width` characters.

    A value that is infinite lies beyond the axis: it is drawn as "v" or "^" at the lower or upper
    end.

    Args:
        values: (N,), at least one of them finite.
        title: What stands above the curve.
        width: Characters in a line, at least 30.

    Example:
        >>> import numpy as np
        >>> from schedalg.command_line.curve import drawn
        >>> print("\n".join(drawn(np.linspace(1.0, -1.0, 24), "y", 31).splitlines()[:4]))
        y
         1 |'.
           |  '.
           |    '.
    """
    n = len(values)
    finite = np.isfinite(values)
    low, high = values[finite].min(), values[finite].max()
    labels = [f"{high:.4g}", f"{low:.4g}"]
    margin = max(map(len, labels)) + 1
    columns = width - margin - 2
    x = np.rint(np.linspace(0, columns - 1, n)).astype(int)
    span = high - low or 1.0
    halves = 2 * ROWS - 1
    height = np.rint((np.where(finite, values, low) - low) / span * halves).astype(int)
    marks = np.zeros((ROWS, columns), dtype=int)
    np.bitwise_or.at(marks, (ROWS - 1 - height[finite] // 2, x[finite]), 1 + height[finite] % 2)
    lines = [[MARKS.get(mark, " ") for mark in row] for row in marks.tolist()]
    for k in np.flatnonzero(~finite):
        lines[-1 if values[k] < 0 else 0][x[k]] = "v" if values[k] < 0 else "^"
    names = [labels[0], *[""] * (ROWS - 2), labels[1]]
    text = [
        f"{name:>{margin}} |{''.join(line)}".rstrip()
        for name, line in zip(names, lines, strict=True)
    ]
    last = f"{n - 1}".rjust(columns - 1) if n > 1 else ""
    return "\n".join([title, *text, f"{'':>{margin}} +{'-' * columns}", f"{'':>{margin}}  0{last}"])
