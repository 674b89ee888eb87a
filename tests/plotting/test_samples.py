"""Images lie in a grid, whatever library and layout they come in."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import plot_samples
from tests.bad_input import check_named
from tests.libraries import Library, lib

pytest.importorskip("matplotlib")

__all__ = ["lib"]

IMAGES = np.random.default_rng(0).uniform(-1.5, 1.5, (5, 3, 5, 6))


def drawn(*args: Any, **options: Any) -> np.ndarray:
    return np.asarray(plot_samples(*args, **options).images[0].get_array())


def test_each_image_is_in_its_place_and_nothing_between() -> None:
    whole = drawn(IMAGES, columns=2)
    assert whole.shape == (3 * 6 - 1, 2 * 7 - 1, 4)
    colors = np.clip((IMAGES + 1) * 127.5, 0, 255).astype(np.uint8)
    for k, image in enumerate(colors):
        top, left = k // 2 * 6, k % 2 * 7
        part = whole[top : top + 5, left : left + 6]
        np.testing.assert_array_equal(part[..., :3], np.moveaxis(image, 0, -1))
        assert (part[..., 3] == 255).all()
        whole[top : top + 5, left : left + 6] = 0
    assert not whole.any()


def test_layouts_of_one_image_are_drawn_alike() -> None:
    expected = drawn(IMAGES[:, :1])
    np.testing.assert_array_equal(drawn(IMAGES[:, 0]), expected)
    np.testing.assert_array_equal(drawn(np.moveaxis(IMAGES[:, :1], 1, -1)), expected)
    np.testing.assert_array_equal(drawn(IMAGES[:, [0, 0, 0]]), expected)
    opaque = np.concatenate([IMAGES[:, [0, 0, 0]], np.ones((5, 1, 5, 6))], axis=1)
    np.testing.assert_array_equal(drawn(opaque), expected)
    np.testing.assert_array_equal(
        drawn(3 * IMAGES[:, 0] + 7, pixel_range=(4, 10)), drawn(IMAGES[:, 0])
    )


def test_images_of_any_library_are_drawn(lib: Library) -> None:
    np.testing.assert_array_equal(drawn(lib.array(IMAGES)), drawn(IMAGES.astype(lib.widest)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_whatever_is_finite_is_drawn(dtype: Any) -> None:
    largest = np.finfo(dtype).max
    image = np.array([[[-largest, -1, 1, largest]]], dtype=dtype)
    drawn = plot_samples(image).images[0].get_array()
    np.testing.assert_array_equal(drawn[0, :, 0], [0, 0, 255, 255])


#: A call, the error that it raises, and words that the message must contain.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "a list": (lambda: plot_samples([IMAGES[0]]), TypeError, ["images", "array", "(3, 5, 6)"]),
    "one image": (lambda: plot_samples(IMAGES[0, 0]), ValueError, ["images", "(5, 6)"]),
    "points": (lambda: plot_samples(np.ones((5, 2))), ValueError, ["images", "(5, 2)"]),
    "channels": (
        lambda: plot_samples(np.ones((5, 2, 5, 6))),
        ValueError,
        ["images", "(2, 5, 6)", "1, 3 or 4 channels"],
    ),
    "none": (lambda: plot_samples(IMAGES[:0]), ValueError, ["images", "(0, 3, 5, 6)"]),
    "not finite": (
        lambda: plot_samples(np.where(np.arange(5) == 3, np.nan, IMAGES.T).T),
        ValueError,
        ["images[3]", "finite"],
    ),
    "complex": (lambda: plot_samples(1j * IMAGES), TypeError, ["images", "real", "complex128"]),
    "columns": (lambda: plot_samples(IMAGES, columns=0), ValueError, ["columns", "0"]),
    "range": (
        lambda: plot_samples(IMAGES, pixel_range=(1, 1)),
        ValueError,
        ["pixel_range", "low < high"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_named(case: str) -> None:
    check_named(*CASES[case])
