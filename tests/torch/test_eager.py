"""The step in place: what it costs, the tensors it owns, and what it rounds."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    LMS,
    PNDM,
    DPMSolverPP,
    Euler,
    Heun,
    Schedule,
    UniPC,
    run,
    sample,
    sample_steps,
)
from schedalg.parameterization import PARAMETERIZATIONS

torch = pytest.importorskip("torch")

from schedalg.testing import check_backend  # noqa: E402
from tests.torch.tried import network  # noqa: E402

FAST = Schedule.linear(1000).subsample(steps=8)
X = np.random.default_rng(0).standard_normal((2, 3, 4, 5))


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tensors are run by operations of torch, as they are where numba is not installed."""
    from schedalg_torch import torch_backend

    monkeypatch.setattr(torch_backend, "step_for", lambda x: None)


def made(values: Any, dtype: str) -> Any:
    return torch.tensor(values, dtype=getattr(torch, dtype))


def count(sampler: Any, how: dict[str, Any], steps: int) -> int:
    """Return the operations of a loop, its start included."""
    z = torch.randn(1, 4, 16, 16)
    how = dict(how)
    schedule = Schedule.linear(1000).subsample(steps=steps)
    plan = sampler.plan(schedule.as_ve() if how.pop("as_ve", False) else schedule)
    with torch.inference_mode():
        return len(operations(lambda: run(plan, lambda x, t: z, z, noise=lambda x: z, **how)))


def operations(run: Callable[[], object]) -> list[str]:
    """Return the operations on tensors that read or write them: neither views nor new memory."""
    from torch.utils._python_dispatch import TorchDispatchMode

    names: list[str] = []

    class Listed(TorchDispatchMode):
        def __torch_dispatch__(
            self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
        ) -> Any:
            result = function(*arguments, **(keywords or {}))
            free = (
                *("view", "unsqueeze", "reshape", "permute", "alias", "empty", "empty_like"),
                "is_set_to",  # which compares addresses
            )
            if function.__name__.split(".")[0] not in free:
                names.append(function.__name__)
            return result

    with Listed():  # type: ignore[no-untyped-call]
        run()
    return names


@pytest.mark.parametrize(
    ("sampler", "how", "small", "large"),
    [
        (DDIM(), {}, 2, 1),
        (Euler(), {}, 2, 1),
        (DPMSolverPP(2), {}, 4, 3),
        (Heun(), {}, 3, 2),
        (UniPC(2), {}, 4, 4),
        (PNDM(), {}, 6, 5),  # reads three memories of a ring of four: one by one
        (LMS(4), {}, 3, 5),
        (LMS(4), {"as_ve": True}, 4, 6),  # with that which scales the network's input
        (Euler(), {"as_ve": True}, 3, 2),
        (DDIM(), {"clip": (-1, 1)}, 5, 3),
        (DPMSolverPP(2), {"clip": (-1, 1)}, 5, 4),
        (DDPM(), {}, 3, 2),
        (DDPM(), {"clip": (-1, 1)}, 6, 4),
        (DPMSolverPP(2, eta=1.0), {"clip": (-1, 1)}, 6, 5),
    ],
    ids=repr,
)
@pytest.mark.usefixtures("without_numba")
def test_a_step_is_a_few_operations(
    sampler: Any, how: dict[str, Any], small: float, large: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured between loops of two lengths, so that what happens once is not counted."""
    from schedalg_torch import torch_backend

    calls = sampler.plan(Schedule.linear(1000).subsample(steps=40)).model_calls
    for expected in (small, large):
        longer, shorter = (count(sampler, how, steps) for steps in (60, 20))
        assert (longer - shorter) / calls == pytest.approx(expected, abs=0.2)
        monkeypatch.setattr(torch_backend, "SMALL", 0)


@pytest.mark.usefixtures("without_numba")
def test_the_arithmetic_is_the_same_without_numba() -> None:
    check_backend(made, ["float64", "float32", "bfloat16"])


def test_a_product_has_the_digits_of_the_sum_that_it_replaces() -> None:
    """A row whose own memory would be much larger than x is added up term by term."""
    from schedalg_torch.small import _products

    from schedalg.running.rows import Row
    from schedalg.testing.rows import rows_of_numbers

    def row(memory: Any) -> Row:
        return Row(1.0, None, 0.5, -0.25, ((0.125, 1),), memory, 0.0, None)

    memories = [(2.0, -2.0, 0.0), (2e6, -2.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.5), None]
    each = [row(memory) for memory in memories]
    # What is not read is not in a product, either: 0 times infinity is no number.
    each += [each[0]._replace(x=0.0), each[0]._replace(d=0.0)]
    rows = rows_of_numbers(each, 1)
    products = _products(rows, torch.float64)
    assert list(products) == [0]
    # 0.5 x - 0.25 d is 0.25 x + 0.125 (2 x - 2 d)
    assert products[0].scale.item() == 0.25
    assert products[0].weights.tolist() == [0.125, 0.125]


@pytest.mark.usefixtures("without_numba")
def test_products_that_may_be_rounded_are_not_used() -> None:
    """Where users let networks multiply matrices in less than float32."""
    x = torch.tensor(X).float()
    expected = run(UniPC(3).plan(FAST), network, x)
    torch.set_float32_matmul_precision("medium")
    try:
        names = operations(lambda: run(UniPC(3).plan(FAST), network, x))
        result = run(UniPC(3).plan(FAST), network, x)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert not any("mv" in name for name in names)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-3)  # of values up to 90
    assert any("mv" in name for name in operations(lambda: run(UniPC(3).plan(FAST), network, x)))


@pytest.mark.parametrize("small", [False, True])
def test_a_run_owns_two_tensors_and_its_memories(small: bool) -> None:
    """And if it is small and has memories, one more, so that one product adds all of them."""
    from schedalg_torch.eager import Eager
    from schedalg_torch.small import Small

    from schedalg.running.rows import rows_of

    x = torch.tensor(X)
    for sampler in (DDIM(), Euler(), DPMSolverPP(2), UniPC(2)):
        for schedule in (FAST, FAST.as_ve()):
            plan = sampler.plan(schedule)
            rows = rows_of(plan, x, PARAMETERIZATIONS["epsilon"])
            update = (Small if small else Eager)(rows, x, None, reuse=True)
            after = x
            for k in range(len(plan)):
                after = update(k, after, network(update.input(k, after), None), None, None, None)
            assert len(update.buffers.own) == 2
            assert len(update.slots) == rows.depth + (small and rows.depth > 0)
            assert rows.depth == plan.b.shape[1] - 1


def test_results_are_tensors_of_their_own() -> None:
    """No views, which could not be changed in place outside of the mode that they were made in."""
    weight = torch.randn(2, 3, requires_grad=True)
    for like in (torch.randn(2, 3), torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)):
        with torch.no_grad():
            image = sample(network, FAST, UniPC(2), like)
            steps = list(sample_steps(network, FAST, DDIM(), like))
        for result in (image, *steps):
            assert result._base is None
            assert result.stride() == like.stride()
    changed = sample(network, FAST, DDIM(), torch.randn(2, 3))
    changed += weight
    changed.sum().backward()


def test_half_precision_is_rounded_once_a_step() -> None:
    """A step whose exact result lies by a rounding bound: twice rounded, it would be off."""
    plan = DDIM().plan(FAST[:1])
    a, b = 1.0 / plan.alpha[0], -plan.sigma[0] / plan.alpha[0]
    for dtype in (torch.float16, torch.bfloat16):
        x = torch.tensor(X).to(dtype)
        eps = torch.tensor(X[::-1].copy()).to(dtype)
        result = sample(lambda x, t, eps=eps: eps, FAST[:1], DDIM(), x)
        exact = a * x.double() + b * eps.double()
        assert (result != exact.to(dtype)).float().mean() < 0.01  # float32 inside may tie
        assert torch.equal(result, (a * x.float() + b * eps.float()).to(dtype))


@pytest.mark.usefixtures("without_numba")
def test_half_precision_is_run_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from schedalg_torch import eager

    monkeypatch.setattr(eager, "_BLOCK", 16)
    check_backend(made, ["bfloat16"])


@pytest.mark.usefixtures("without_numba")
def test_memories_of_large_samples_are_added_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from schedalg_torch import torch_backend

    monkeypatch.setattr(torch_backend, "SMALL", 0)
    check_backend(made, ["float64"])


def negative(x: Any) -> Any:
    """Return -x as a view whose memory holds x."""
    return torch.complex(torch.zeros_like(x), x).conj().imag


def test_outputs_may_be_views_of_any_kind() -> None:
    """Of memory that holds the opposite numbers, of every second number, or Parameters."""
    x = torch.tensor(X)
    for schedule in (FAST, FAST.as_ve()):
        for sampler in (DDIM(), UniPC(2)):
            expected = sample(lambda x, t: -x.sin(), schedule, sampler, x)
            for view in (
                lambda x: negative(x.sin()),
                lambda x: -torch.stack([x, x], dim=-1).sin()[..., 0],
                lambda x: torch.nn.Parameter(-x.sin()),
            ):
                with torch.no_grad():
                    result = sample(lambda x, t, v=view: v(x), schedule, sampler, x)
                torch.testing.assert_close(result, expected)
    assert negative(x).is_neg()
