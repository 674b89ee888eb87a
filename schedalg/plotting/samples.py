"""`plot_samples`: a grid of images."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from schedalg.arrays import Array, is_array, to_host
from schedalg.checks import check_numeric, positive_integer, shown
from schedalg.plotting.axes import axes_or_new
from schedalg.plotting.images import channels_first, checked_range, pixels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Pixels between two images.
GAP = 1


def plot_samples(
    images: Array,
    ax: "Axes | None" = None,
    *,
    columns: int | None = None,
    pixel_range: tuple[float, float] = (-1.0, 1.0),
) -> Any:
    """Draw samples as a grid of images, row after row (needs matplotlib).

    Args:
        images: (B, height, width), (B, channels, height, width) or (B, height, width, channels),
            with 1, 3 or 4 channels, of any array library.
        ax: Axes of matplotlib to draw on. None: those of a new figure.
        columns: How many images are in a row. None: as many as there are rows, or one more.
        pixel_range: (low, high), the numbers that are black and white. What is beyond is drawn as
            these.

    Returns:
        The axes; `axes.figure` is the figure.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The shape is not that of images, there are no images, or one is not finite; or
            another argument is out of range.
        ImportError: matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> from schedalg import plot_samples
        >>> axes = plot_samples(np.zeros((6, 3, 8, 8)), columns=3)
        >>> axes.images[0].get_array().shape  # with a pixel between two images
        (17, 26, 4)
    """
    if not is_array(images):
        raise TypeError(f"images must be an array, (B, ...), got {shown(images)}")
    check_numeric("images", images)
    if images.ndim not in (3, 4):
        raise ValueError(
            "images must be (B, height, width), (B, channels, height, width) or (B, height, width, "
            f"channels), got shape {tuple(images.shape)}"
        )
    channels_first(tuple(images.shape[1:]), "images: the shape of one")
    if 0 in images.shape:
        raise ValueError(f"images has shape {tuple(images.shape)}: there is nothing to draw")
    host = to_host(images)
    if host.dtype.kind == "c":
        raise TypeError(f"images must hold real numbers, got dtype {host.dtype}")
    finite = np.isfinite(host).reshape(len(host), -1).all(axis=1)
    if not finite.all():
        raise ValueError(f"images[{int(np.argmin(finite))}] is not finite")
    if columns is None:
        across = math.ceil(math.sqrt(len(host)))
    else:
        across = min(positive_integer("columns", columns), len(host))
    drawn = grid(pixels(host, checked_range(pixel_range)), across)
    axes = axes_or_new(ax)
    axes.imshow(drawn, interpolation="nearest")
    axes.set_axis_off()
    return axes


def grid(images: np.ndarray, columns: int) -> np.ndarray:
    """Return one image that shows many, transparent between them: (height, width, 4), bytes.

    Args:
        images: (B, height, width, channels), bytes.
        columns: How many there are in a row.
    """
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    whole = np.zeros((rows * columns, height + GAP, width + GAP, 4), dtype=np.uint8)
    whole[:count, :height, :width, :3] = images[..., :3]
    whole[:count, :height, :width, 3] = images[..., 3] if channels == 4 else 255
    whole = whole.reshape(rows, columns, height + GAP, width + GAP, 4).swapaxes(1, 2)
    whole = whole.reshape(rows * (height + GAP), columns * (width + GAP), 4)
    return whole[:-GAP, :-GAP]
