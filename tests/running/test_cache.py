"""What is kept from one call to the next: what follows from equal values, and nothing else."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, Parameterization, Plan, Restart, Schedule, UniPC, edm, run, sample
from schedalg.cache import Cache
from schedalg.running import rows
from schedalg.running.cache import key_of
from tests.registry.samplers import SAMPLERS

X = np.random.default_rng(3).standard_normal((2, 3))


def network(x: Any, timesteps: Any) -> Any:
    return np.tanh(x)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count the plans and the rows that are made."""
    counts = {"plans": 0, "rows": 0}
    checks, makes = Plan.__post_init__, rows._made

    def plan(self: Plan) -> None:
        counts["plans"] += 1
        checks(self)

    def make(*arguments: Any) -> Any:
        counts["rows"] += 1
        return makes(*arguments)

    monkeypatch.setattr(Plan, "__post_init__", plan)
    monkeypatch.setattr(rows, "_made", make)
    return counts


def test_a_second_sample_makes_nothing_anew(made: dict[str, int]) -> None:
    def again(sampler: Any, **how: Any) -> None:
        schedule = Schedule.cosine(997).subsample(steps=7)
        sample(network, schedule, sampler(), X, noise=1, **how)

    for sampler in (lambda: DDIM(0.3125), lambda: Restart(UniPC(2), [(1, 4, 2)])):
        for how in ({}, {"prediction": "v"}, {"clip": (-1, 1)}, {"prediction": edm(0.625)}):
            made.update(plans=0, rows=0)
            again(sampler, **how)
            assert made["rows"] == 1
            assert made["plans"] == (0 if how else made["plans"])
            made.update(plans=0, rows=0)
            again(sampler, **how)
            assert made == {"plans": 0, "rows": 0}


def test_a_sample_makes_one_plan(made: dict[str, int]) -> None:
    sample(network, Schedule.cosine(991).subsample(steps=7), DDIM(), X)
    assert made == {"plans": 1, "rows": 1}


def constant(value: Any) -> Any:
    return lambda *arguments: value


def test_functions_are_no_keys(made: dict[str, int]) -> None:
    """Two that are written alike may differ in what they hold."""
    schedule = Schedule.linear(50)
    for factor in (1.0, 2.0):
        meaning = Parameterization(lambda a, s: 0.0, constant(factor))
        image = sample(lambda x, t: 0 * x + 1, schedule, DDIM(), X, prediction=meaning)
        np.testing.assert_allclose(image, factor)
    assert key_of(meaning) is None
    assert key_of((1, network)) is None


def test_what_can_be_changed_is_no_key() -> None:
    class Mutable:
        """A sampler of a user's own, whose fields change while its hash does not."""

        eta = 0.0

        def plan(self, schedule: Schedule) -> Plan:
            return DDIM(self.eta).plan(schedule)

    @dataclass(frozen=True)
    class Holds:
        inner: Any

        def plan(self, schedule: Schedule) -> Plan:
            plan: Plan = self.inner.plan(schedule)
            return plan

    schedule, inner = Schedule.linear(20), Mutable()
    for sampler in (inner, Holds(inner)):
        assert key_of(sampler) is None
        images = []
        for eta in (0.0, 1.0):
            inner.eta = eta
            images.append(sample(network, schedule, sampler, X, noise=3))
        np.testing.assert_array_equal(images[0], sample(network, schedule, DDIM(), X))
        np.testing.assert_array_equal(images[1], sample(network, schedule, DDIM(1.0), X, noise=3))
    assert key_of(Holds(DDIM())) == key_of(Holds(DDIM()))
    assert key_of(Holds(DDIM())) != key_of(Holds(DDPM()))
    assert key_of([1]) is None


def test_what_a_subclass_adds_is_not_left_out_of_the_key() -> None:
    class Scaled(DDIM):
        """Derived from a frozen dataclass, and none itself: its attribute is no field."""

        def __init__(self, factor: float) -> None:
            super().__init__()
            object.__setattr__(self, "factor", factor)

        def plan(self, schedule: Schedule) -> Plan:
            plan = super().plan(schedule)
            return Plan.of(schedule, a=plan.a, b=vars(self)["factor"] * plan.b)

    @dataclass(frozen=True)
    class Hidden:
        """A dataclass that holds more than its fields."""

        def __post_init__(self) -> None:
            object.__setattr__(self, "secret", np.random.default_rng())

        def plan(self, schedule: Schedule) -> Plan:
            return DDIM().plan(schedule)

    schedule = Schedule.linear(20)
    for factor in (1.0, 0.5):
        image = sample(network, schedule, Scaled(factor), X)
        np.testing.assert_array_equal(image, run(Scaled(factor).plan(schedule), network, X))
    assert key_of(Scaled(1.0)) is None
    assert key_of(Hidden()) is None


def test_equal_values_of_different_types_are_different_keys() -> None:
    assert len({key_of(value) for value in (1, 1.0, True, 0.0, -0.0, 0, False, "1", None)}) == 9


def test_every_sampler_of_the_library_is_a_key() -> None:
    for name, entry in SAMPLERS.items():
        assert key_of(entry.sampler) is not None, name
    assert key_of(edm(0.5)) == key_of(edm(0.5)) != key_of(edm(0.25))


def test_tensors_with_and_without_a_gradient_are_no_keys() -> None:
    torch = pytest.importorskip("torch")
    values = torch.tensor([2.0, 0.0, -2.0], dtype=torch.float64)
    for gradient in (False, True):
        schedule = Schedule.from_log_snr(values.clone().requires_grad_(gradient))
        assert key_of(schedule) is None


def test_a_cache_is_bounded_in_bytes_and_forgets_the_oldest() -> None:
    cache: Cache[str] = Cache(10, len)
    assert cache.get("a", lambda: "aaaa") == "aaaa"
    assert cache.get("b", lambda: "bbbb") == "bbbb"
    assert cache.get("a", lambda: "other") == "aaaa"
    assert cache.get("c", lambda: "cccc") == "cccc"
    assert (len(cache), cache.used) == (2, 8)
    assert cache.get("b", lambda: "new") == "new"
    assert cache.get("d", lambda: 11 * "d") == 11 * "d"
    assert cache.get("d", lambda: "x") == "x"
    assert cache.get(None, lambda: "made") == "made"
    assert cache.used <= 10


def test_threads_share_a_cache() -> None:
    cache: Cache[int] = Cache(100, lambda value: 1)
    start = threading.Barrier(8)

    def work(thread: int) -> list[int]:
        start.wait()
        return [cache.get(k % 150, constant(k % 150)) for k in range(thread, 3000)]

    with ThreadPoolExecutor(8) as pool:
        for thread, results in enumerate(pool.map(work, range(8))):
            assert results == [k % 150 for k in range(thread, 3000)]
    assert cache.used == len(cache) <= 100
