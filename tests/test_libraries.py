"""Which arrays are recognized, and what is said of those that cannot be used."""

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from schedalg import DDIM, Schedule, sample
from schedalg.arrays import to_host
from schedalg.libraries import (
    NUMPY,
    UNSEEN,
    _of_type,
    library_of,
    missing,
    serving_names,
)


class Incomplete:
    """An array of a library that names its namespace and no device, as MLX's are."""

    shape, dtype, ndim = (2, 3), "float32", 2

    def __array_namespace__(self, api_version: Any = None) -> Any:
        return np


def test_numbers_and_other_objects_are_no_arrays() -> None:
    for value in (1.0, [1.0], "x", None, object(), np.random.default_rng(0), np.dtype("f4")):
        assert library_of(value) is None
    assert library_of(np.ones(2)) is library_of(np.float64(1)) is NUMPY


def test_what_an_array_lacks_is_named_and_how_it_is_served() -> None:
    assert missing(Incomplete()) == ["device"]
    assert missing(np.ones(2)) == []
    with pytest.raises(TypeError, match=r"x is a .*Incomplete, which lacks device: .* a backend"):
        sample(lambda x, t: x, Schedule.linear(4), DDIM(), Incomplete())


class Unreadable(Incomplete):
    """An array that NumPy cannot read, as those of graphs that are built are."""

    device = "cpu"


def test_an_array_that_numpy_cannot_read_is_named() -> None:
    with pytest.raises(TypeError, match=r"NumPy cannot read those of a .*Unreadable"):
        to_host(Unreadable())


def test_a_device_that_array_api_compat_knows_need_not_be_said() -> None:
    with patch("array_api_compat.device", return_value="cpu"):
        assert missing(Incomplete()) == []


def test_objects_of_a_library_that_are_no_arrays_are_none() -> None:
    torch = pytest.importorskip("torch")
    assert library_of(torch.ones(2)) is not None
    for value in (torch.Generator(), torch.float32, torch.device("cpu"), torch.Size([2])):
        assert library_of(value) is None


def test_arrays_of_jaxlib_are_served_by_the_name_jax() -> None:
    jax = pytest.importorskip("jax")
    names = serving_names(type(jax.numpy.ones(2)))
    assert "jax" in names
    assert "jaxlib" not in names


class Proxy:
    """Stands for an array without being one by its type."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __getattr__(self, name: str) -> Any:
        return getattr(self.array, name)


def test_a_type_says_what_it_is_where_it_can() -> None:
    class Own(np.ndarray):
        pass

    assert library_of(np.ones(2).view(Own)) is NUMPY
    # What `torch.compile` has of a value is its type; where that does not say, a value is asked.
    assert _of_type(Own) is NUMPY
    assert _of_type(float) is None
    assert _of_type(Incomplete) in (UNSEEN, library_of(Incomplete()))
    assert library_of(Proxy(Incomplete())) is library_of(Incomplete())
