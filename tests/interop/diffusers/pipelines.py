"""Parts of the pipelines in the tests."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from schedalg.interop.diffusers import DiffusersScheduler, from_diffusers, to_diffusers  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """The networks are so small that threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def ours(scheduler: Any, steps: int, config: Any = None) -> DiffusersScheduler:
    """The scheduler of diffusers, replaced by ours."""
    read = from_diffusers(scheduler, steps)
    return to_diffusers(
        read.schedule, read.sampler, prediction=read.prediction, clip=read.clip, config=config
    )


def seeded(seed: int = 0) -> Any:
    return torch.Generator().manual_seed(seed)


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _vae() -> Any:
    torch.manual_seed(2)
    return diffusers.AutoencoderKL(
        sample_size=16,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
    ).eval()
