"""Samples at rows of their own: what each is alone, whatever the others do."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedalg import DDIM, DDPM, DPMSolverPP, Schedule, UniPC
from schedalg.parameterization import PARAMETERIZATIONS
from schedalg.running.backend import backend_for
from schedalg.running.rows import rows_of
from tests.libraries import Library, host, lib  # noqa: F401

FAST = Schedule.linear(1000).subsample(steps=6)
X = np.random.default_rng(2).standard_normal((3, 2, 3))
KEYS = np.array([[5, 0], [6, 0], [7, 1]], dtype=np.uint64)


def network(x: Any) -> Any:
    return 0.3 * x - 0.1 * x**3 / (1 + x**2)


def update(sampler: Any, x: Any, keys: Any) -> Any:
    rows = rows_of(sampler.plan(FAST.as_ve()), x, PARAMETERIZATIONS["v"])
    return backend_for(x).update(rows, x, keys if any(rows.noisy) else None, reuse=False)


def walked(run: Any, x: Any, first: Any, last: Any) -> Any:
    """Return x after rows first … last - 1, which are ints or arrays."""
    k = first
    while np.any(k < last):
        # A sample that is at its end stays there, and what comes of it is not looked at.
        at = np.minimum(k, last - 1) if isinstance(k, np.ndarray) else k
        x = run(at, x, network(run.input(at, x)), None, None, None)
        k = k + 1
    return x


@pytest.mark.parametrize("sampler", [DDIM(), DDPM(), DPMSolverPP(2), UniPC(3)], ids=repr)
def test_each_sample_is_what_it_is_alone(sampler: Any, lib: Library) -> None:  # noqa: F811
    for rows in ([0, 1, 2], [3, 0, 1]):
        k, alone = np.array(rows), []
        states, x = [], []
        for i, row in enumerate(rows):
            mine = update(sampler, lib.array(X[i : i + 1]), KEYS[i : i + 1])
            x.append(host(walked(mine, lib.array(X[i : i + 1]), 0, row)))
            depth = mine.rows.depth
            states.append(
                [host(mine.memory(j)) if j >= 0 else 0 * x[-1] for j in range(row - depth, row)]
            )
            alone.append(host(walked(mine, lib.array(x[-1]), row, row + 3)))
        together = lib.array(np.concatenate(x))
        run = update(sampler, together, KEYS)
        if run.rows.depth:
            memories = [lib.array(np.concatenate(each)) for each in zip(*states, strict=True)]
            run.restore(k, memories)
            for back, memory in zip(range(len(memories), 0, -1), memories, strict=True):
                kept = host(run.memory(np.maximum(k - back, 0)))
                there = k >= back
                np.testing.assert_array_equal(kept[there], host(memory)[there])
        result = host(walked(run, together, k, k + 3))
        within = 1e-5 if lib.widest == "float32" else 1e-11
        np.testing.assert_allclose(result, np.concatenate(alone), rtol=within, atol=within)


@given(first=st.lists(st.integers(0, 4), min_size=3, max_size=3))
def test_samples_at_one_row_are_a_run(first: list[int]) -> None:
    """And so is a sample that waits, and goes on later."""
    for sampler in (DDPM(), UniPC(3)):
        expected = walked(update(sampler, X, KEYS), X, 0, 6)
        run, x, k = update(sampler, X, KEYS), X, np.zeros(3, dtype=np.int64)
        waiting = np.array(first)
        while (k < 6).any():
            going = (waiting == 0) & (k < 6)
            at = np.minimum(k, 5)
            after = run(at, x, network(run.input(at, x)), None, None, None)
            x = np.where(going[:, None, None], after, x)
            k, waiting = k + going, np.maximum(waiting - 1, 0)
        np.testing.assert_allclose(x, expected, rtol=1e-11, atol=1e-11)


def test_a_schedule_with_a_gradient_is_run_one_row_for_all() -> None:
    torch = pytest.importorskip("torch")
    betas = torch.linspace(0.1, 0.2, 6, dtype=torch.float64, requires_grad=True)
    x = torch.tensor(X)
    rows = rows_of(DDIM().plan(Schedule.from_betas(betas)), x, PARAMETERIZATIONS["v"])
    run = backend_for(x).update(rows, x, None, reuse=False)
    with pytest.raises(ValueError, match="samples at rows of their own need a schedule"):
        run.input(np.array([0, 1, 2]), x)
