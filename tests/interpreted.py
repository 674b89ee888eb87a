"""The Triton kernels, run by Triton's interpreter on the CPU: a program of its own.

    TRITON_INTERPRET=1 python -m tests.interpreted

since Triton decides when it is imported whether to interpret. What this cannot see is the rounding
to bfloat16, which the interpreter truncates.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from schedalg_torch import fused, kernel
from schedalg_torch.capture import Step
from schedalg_torch.fused_stack import FusedStack
from schedalg_torch.torch_backend import TorchBackend
from triton.runtime import interpreter

from schedalg import DDIM, DDPM, DPMSolverPP, Heun, Pool, Schedule, UniPC, run, sample
from schedalg.running.backend import Update
from schedalg.running.rows import Rows
from schedalg.testing import check_backend


class Interpreted(TorchBackend):
    """The backend as it is on a GPU, but for where the tensors are."""

    def normal(self, x: torch.Tensor, keys: np.ndarray, words: Sequence[int]) -> torch.Tensor:
        """Return noise from the kernel."""
        return fused.normal(x, keys, words, kernel)

    def update(
        self, rows: Rows, x: torch.Tensor, keys: np.ndarray | None, *, reuse: bool
    ) -> Update:
        """Return the kernel's update."""
        return fused.Fused(rows, x, keys, reuse=reuse, kernel=kernel)

    def stack(
        self, shape: tuple[int, ...], like: torch.Tensor, clip: tuple[float, float] | None
    ) -> FusedStack:
        """Return what the kernel takes on."""
        return FusedStack(shape, like, clip, kernel)

    def replay(
        self, rows: Rows, values: np.ndarray, x: torch.Tensor, keys: Any, network: Any
    ) -> torch.Tensor:
        """Run a step over and over, as the graph would, after two to warm up."""
        step = Step(rows, values, x, keys, network, kernel)
        for _ in range(2):
            step()
            step.reset()
        for _ in rows.rows:
            step()
        return step.result


def patch_once() -> None:
    """Have the interpreter put its functions in the place of Triton's once for each module.

    It does so in every launch, and again in every call of one function of a kernel by another,
    which takes longer than the functions do.
    """
    patch = interpreter._patch_lang
    modules: set[str] = set()

    def patched(function: Any) -> Any:
        if function.__module__ not in modules:
            modules.add(function.__module__)
            patch(function)
        return interpreter._LangPatchScope()  # of no changes, and so nothing is put back

    interpreter._patch_lang = patched


def channels_last(values: np.ndarray, dtype: str) -> torch.Tensor:
    """Return a tensor whose channels lie together, if it has channels and places."""
    x = torch.tensor(values, dtype=getattr(torch, dtype))
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def check_replayed() -> None:
    """Check that a step that reads its number from memory makes the samples of the loop."""

    def network(x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x / 40) + timesteps.view(-1, 1, 1, 1) / 1000

    def itself(x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        return x.transpose(2, 3)

    vp = Schedule.linear(1000).subsample(steps=5)
    x = torch.tensor(np.random.default_rng(0).standard_normal((2, 3, 4, 4)))
    for schedule in (vp, vp.as_ve(), vp[:1]):
        for sampler in (DDIM(), DDPM(), DPMSolverPP(2), Heun()):
            for clip in (None, (-1.0, 1.0)):
                for model in (network, itself):
                    how: Any = {"clip": clip, "noise": [5, 6], "prediction": "x0"}
                    expected = sample(model, schedule, sampler, x, **how)
                    result = sample(model, schedule, sampler, x, capture=True, **how)
                    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)


def check_pool() -> None:
    """Check that samples in rows of their own are what they are alone, to the bit."""

    def network(x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(x / 40) + timesteps.to(x.dtype).view(-1, 1, 1) / 1000
        return torch.cat([y, torch.tanh(x)], dim=1)

    vp = Schedule.linear(1000).subsample(steps=5)
    learned = DDPM("learned_range").plan(vp[:3])
    plans = [
        UniPC(3).plan(vp),
        DDIM().plan(vp.as_ve()),
        replace(learned, c=0.5 * learned.c),
        DPMSolverPP(2, eta=1.0).plan(vp),
        UniPC(2).plan(vp[:2]),
    ]
    for clip, dtype in ((None, torch.float32), ((-1.0, 1.0), torch.float16)):
        pool = Pool(network, (2, 39), 5, like=torch.empty(0, dtype=dtype), clip=clip)
        finished: dict[int, torch.Tensor] = {}
        tickets = []
        for seed, plan in enumerate(plans):
            x = torch.tensor(np.random.default_rng(seed).standard_normal((2, 39)), dtype=dtype)
            tickets.append((pool.add(plan, seed=seed, x=x), plan, seed, x))
            finished |= pool.step()
        finished |= pool.drain()
        for ticket, plan, seed, x in tickets:
            alone = run(plan, network, x[None], noise=[seed], clip=clip)[0]
            assert torch.equal(finished[ticket], alone), (plan, clip)


def main() -> None:
    """Run the checks with the kernels in the place of the backend for tensors."""
    import schedalg_torch

    patch_once()
    for name in ("normal", "update", "stack", "replay"):
        setattr(type(schedalg_torch.backend), name, getattr(Interpreted, name))
    check_backend(lambda values, dtype: torch.tensor(values, dtype=getattr(torch, dtype)))
    fused.BLOCK = 64  # so that samples have several blocks, and a part of one
    check_backend(channels_last, ["float32", "float16"])
    check_replayed()
    check_pool()
    print("the kernels do what the rows say")


if __name__ == "__main__":
    main()
