"""Samples as images: where their channels are, and which byte stands for which number."""

from typing import Any

import numpy as np

from schedalg.checks import real_number, shown

#: How many channels an image may have: gray, RGB, RGBA.
CHANNELS = (1, 3, 4)


def channels_first(
    shape: tuple[int, ...], what: str = "shape of a sample", instead: str = ""
) -> bool:
    """Whether the channels of an image of this shape come first; last, if not.

    Args:
        shape: That of one image, without the batch.
        what: What an error calls it.
        instead: What an error says to do with other shapes.

    Raises:
        ValueError: It is not the shape of an image.
    """
    if len(shape) == 3 and shape[0] in CHANNELS:
        return True
    if len(shape) == 2 or (len(shape) == 3 and shape[2] in CHANNELS):
        return False
    raise ValueError(
        f"{what} is {shape}, and images are (height, width), (channels, height, width) or (height, "
        f"width, channels) with 1, 3 or 4 channels{instead}"
    )


def pixels(samples: np.ndarray, pixel_range: tuple[float, float]) -> np.ndarray:
    """Return samples as bytes, (B, height, width, channels).

    A byte is the whole part of 255 (x - low) / (high - low), within 0 and 255, as in ADM's code.
    Nothing is rounded to the nearest: of the float32 numbers k / 127.5 - 1, 95 of 256 give k - 1.

    Args:
        samples: (B, ...), images.
        pixel_range: (low, high), the numbers that become 0 and 255.
    """
    low, high = pixel_range
    images = samples if samples.dtype.itemsize > 2 else samples.astype(np.float32)
    if samples.ndim == 3:
        images = images[..., None]
    elif channels_first(samples.shape[1:]):
        images = np.moveaxis(images, 1, -1)
    with np.errstate(over="ignore"):  # to infinity, which is clipped
        scaled = (images - low) * (255 / (high - low))
    return np.ascontiguousarray(scaled.clip(0, 255).astype(np.uint8))


def checked_range(value: Any) -> tuple[float, float]:
    """Return (low, high) as floats.

    Raises:
        TypeError: It is not a pair of numbers.
        ValueError: low is not below high, or float32 cannot hold what is computed with them.
    """
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"pixel_range must be (low, high), got {shown(value)}")
    low, high = (real_number(f"pixel_range[{i}]", end) for i, end in enumerate(value))
    if not low < high:
        raise ValueError(f"pixel_range must be (low, high) with low < high, got {shown(value)}")
    if max(abs(low), abs(high), 255 / (high - low)) > float(np.finfo(np.float32).max):
        raise ValueError(
            f"pixel_range and 255 / (high - low) must be numbers of float32, got {shown(value)}"
        )
    return low, high
