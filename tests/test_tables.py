"""Tables of the host on other devices: copied once, and never a caller's to change."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import Schedule, TimestepRemap, tables
from schedalg.cache import Cache
from tests.libraries import Library, lib

__all__ = ["lib"]

X = np.random.default_rng(5).standard_normal((3, 2))
K = np.array([4, 0, 4])


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Begin without tables, and list those that are copied."""
    copy, made = tables._copy, []

    def listed(*arguments: Any) -> Any:
        made.append(copy(*arguments))
        return made[-1]

    monkeypatch.setattr(tables, "_copy", listed)
    monkeypatch.setattr(tables, "_TABLES", Cache(tables._TABLES.limit, tables._size))
    return made


#: What is done with x and positions, and how many tables it needs.
CALLS: dict[str, tuple[Callable[[Any, Any], Any], int]] = {
    "add_noise": (lambda x, k: Schedule.cosine(10).add_noise(x, x, k), 1),
    "target": (lambda x, k: Schedule.cosine(10).target(x, x, k, "v"), 1),
    "both": (
        lambda x, k: Schedule.cosine(10).target(x, Schedule.cosine(10).add_noise(x, x, k), k),
        2,
    ),
    "remap": (
        lambda x, k: TimestepRemap(lambda x, t: t, Schedule.cosine(10))(x, k),
        1,
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("position", [K, 4], ids=["array", "int"])
def test_a_second_call_with_equal_values_copies_nothing(
    lib: Library, call: str, position: Any, copies: list[Any]
) -> None:
    function, number = CALLS[call]
    x, k = lib.array(X, "float32"), position if isinstance(position, int) else lib.array(position)
    function(x, k)
    assert len(copies) == number
    function(x + 1, k)
    # Whether arrays of a library without a backend are traced is not known.
    assert len(copies) == (2 * number if "strict" in lib.name else number)


def test_other_values_have_other_tables(copies: list[Any]) -> None:
    schedules = Schedule.cosine(10), Schedule.linear(10), Schedule.cosine(10).as_ve()
    for x in (X, X.astype(np.float32)):
        for schedule in schedules:
            for prediction in ("v", "flow"):
                result = schedule.target(x, x, K, prediction)
                p, q = np.float64([-1, 1])[:, None, None]
                if prediction == "v":
                    vp = schedule.as_vp()
                    p, q = -vp.sigma[K][:, None], vp.alpha[K][:, None]
                np.testing.assert_allclose(result, (p + q) * x, rtol=1e-6, atol=1e-7)
    assert len(copies) == 2 * 3 * 2


def test_no_caller_is_given_a_table(copies: list[Any]) -> None:
    """What a network or a user's function writes to timesteps or scales, it keeps to itself."""

    def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        seen = timesteps.copy()
        timesteps[:] = -1
        return seen

    remapped = TimestepRemap(network, Schedule.cosine(10))
    for k in (K, K, 4, 4, np.int64(4)):
        np.testing.assert_array_equal(remapped(X, k), np.broadcast_to(k, 3))
    for k in (K, 4):
        noisy = Schedule.cosine(10).add_noise(X, X, k)
        assert not any(np.shares_memory(noisy, table) for table in copies)
    assert not remapped.timesteps.flags.writeable


def test_a_schedule_with_a_function_of_its_own_needs_no_hash(copies: list[Any]) -> None:
    class Rule:
        """A function of alpha and sigma without a hash."""

        __hash__ = None  # type: ignore[assignment]

        def __call__(self, alpha: np.ndarray, sigma: np.ndarray) -> np.ndarray:
            return sigma

    plain = Schedule.from_log_snr([2.0, 0.0, -1.0, -2.0, -3.0])
    for rule in (Rule(), lambda alpha, sigma: sigma):
        copies.clear()
        schedule = Schedule.from_log_snr([2.0, 0.0, -1.0, -2.0, -3.0], timesteps=rule)
        for _ in range(2):
            noisy = schedule.add_noise(X, X, K)
        assert len(copies) == 1  # a schedule is found by its numbers, and then compared
        np.testing.assert_array_equal(noisy, plain.add_noise(X, X, K))


def test_tables_are_bounded_in_bytes_with_what_they_are_made_from(
    copies: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    schedules = [Schedule.cosine(1000).subsample(steps=n) for n in (10, 11, 12)]
    schedules.append(Schedule.cosine(100_000))
    sizes = [sys.getsizeof(schedule) + 16 * len(schedule) for schedule in schedules]
    assert 24 * 1000 < min(sizes) < 30 * 1000
    monkeypatch.setattr(tables, "_TABLES", Cache(sizes[0] + sizes[1] + 1000, tables._size))
    small = sum(map(sys.getsizeof, ("vp", None, 2)))
    for schedule, number in zip(schedules, (1, 2, 2, 2), strict=True):
        schedule.add_noise(X, X, K)
        assert len(tables._TABLES) == number
    assert tables._TABLES.used == sizes[1] + sizes[2] + 2 * small


def test_what_jax_traces_is_not_cached(copies: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    jax = pytest.importorskip("jax")
    x, k = jax.numpy.asarray(X), jax.numpy.asarray(K)
    schedule = Schedule.cosine(10)
    remapped = TimestepRemap(lambda x, timesteps: timesteps, schedule)
    for traced in (  # x a constant of the trace, and traced itself
        jax.jit(lambda k: (schedule.add_noise(x, x, k), remapped(x, k))),
        lambda k: jax.jit(lambda x: (schedule.add_noise(x, x, k), remapped(x, k)))(x),
    ):
        noisy, timesteps = traced(k)
        assert len(tables._TABLES) == 0
        np.testing.assert_allclose(schedule.add_noise(x, x, k), noisy, rtol=1e-6)
        np.testing.assert_array_equal(remapped(x, k), timesteps)
        assert len(tables._TABLES) == 2
        monkeypatch.setattr(tables, "_TABLES", Cache(tables._TABLES.limit, tables._size))
