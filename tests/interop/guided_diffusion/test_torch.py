"""Torch: when it is imported, and on which devices the tables are cached."""

import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch

from schedalg.interop.guided_diffusion.lazy import torch as lazy_torch
from tests.interop.guided_diffusion.textbook import SHAPE, images, network, process, start


def test_tables_are_uploaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    uploads: list[int] = []
    tensor = torch.tensor

    def counted(*args: Any, **kwargs: Any) -> Any:
        uploads.append(1)
        return tensor(*args, **kwargs)

    monkeypatch.setattr(lazy_torch, "tensor", counted, raising=False)
    diffusion, model = process("25"), network()
    for _ in range(2):
        diffusion.p_sample_loop(model, SHAPE, noise=start())
    assert len(uploads) == 1
    diffusion.ddim_sample_loop(model, SHAPE, noise=start())
    assert len(uploads) == 2  # DDIM's own columns


def test_tables_made_in_inference_mode_serve_training() -> None:
    diffusion, model = process("25"), network()
    with torch.inference_mode():
        diffusion.p_sample_loop(model, SHAPE, noise=start())
    diffusion.training_losses(model, images(), torch.tensor([3, 9]))["loss"].sum().backward()


def test_processes_can_be_pickled() -> None:
    diffusion, model, x = process("5", rescale=True), network(), start()
    before = diffusion.ddim_sample_loop(model, SHAPE, noise=x)
    again = pickle.loads(pickle.dumps(diffusion))
    assert torch.equal(again.ddim_sample_loop(model, SHAPE, noise=x), before)


def test_torch_is_imported_when_it_is_used() -> None:
    code = """
import sys
import schedalg.interop.guided_diffusion as gd
diffusion = gd.SpacedDiffusion(
    gd.space_timesteps(1000, "ddim25"),
    betas=gd.get_named_beta_schedule("linear", 1000),
    model_mean_type=gd.ModelMeanType.EPSILON,
    model_var_type=gd.ModelVarType.FIXED_SMALL,
    loss_type=gd.LossType.MSE,
)
print("torch" in sys.modules, len(diffusion.betas))
sys.modules["torch"] = None
try:
    diffusion.q_sample(None, None)
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "False 25"
    assert second.endswith("computes with torch: pip install 'schedalg[torch]'")
