"""The digits: the examples run, and what they draw is close to real digits."""

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from schedalg import DPMSolverPP, sample

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
DIGITS, MNIST = EXAMPLES / "digits", EXAMPLES / "mnist"

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("sklearn", "matplotlib", "tqdm")),
    reason="the example's packages are not installed",
)


def test_the_digits_are_sampled(tmp_path: Path) -> None:
    command = [sys.executable, str(DIGITS / "sample.py"), "--steps", "50", "5"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    rows = re.findall(r"^(\w+) +(\S+) +(\S+) +(\S+) +([\d.]+)$", result.stdout, re.MULTILINE)
    distance = {(name, steps): float(value) for name, steps, _, _, value in rows}
    calls = {(name, steps): count for name, steps, count, _, _ in rows}
    reference = distance["real", "-"]
    for sampler in ("DDPM", "DDIM"):
        assert calls[sampler, "50"] == "50"
        assert distance[sampler, "50"] < 3 * reference
        assert distance[sampler, "50"] < distance[sampler, "5"] < 8 * reference
    assert (tmp_path / "digits.png").stat().st_size > 10_000


def test_the_larger_digits_are_drawn(tmp_path: Path) -> None:
    command = [sys.executable, str(MNIST / "draw.py"), "--most", "3"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout == f"picture: {tmp_path / 'digits.png'}\n"
    assert "6/6" in result.stderr  # calls: two rows of 3
    assert (tmp_path / "digits.png").stat().st_size > 10_000


def test_the_weights_are_small() -> None:
    assert (DIGITS / "weights.npz").stat().st_size < 1_000_000
    assert (MNIST / "weights.npz").stat().st_size < 1_100_000
    assert (MNIST / "reference.npz").stat().st_size < 500_000


def test_choices_of_steps_are_compared(tmp_path: Path) -> None:
    small = ["--networks", "8x8", "--calls", "5", "--images", "100", "--blocks", "1", "--jobs", "1"]
    command = [sys.executable, str(MNIST / "compare.py"), *small]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    quality, off = result.stdout.split("distances 8x8")
    rows = re.findall(r"^\| ((?:DDIM|2M)[^|]*) \| ([^|]+) \| ([\d.]+) \|$", off, re.MULTILINE)
    distance = {(sampler, points): float(value) for sampler, points, value in rows}
    assert len(distance) == quality.count("| DDIM") + quality.count("| 2M") > 10
    assert distance["2M", "log-SNR"] < 0.8 * distance["2M", "trailing"]
    assert distance["DDIM", "chosen, trajectories"] < 0.8 * distance["DDIM", "trailing"]
    assert distance["2M, tuned", "chosen, moved"] < distance["2M, fitted", "chosen, trajectories"]
    assert distance["DDIM, tuned", "chosen, moved"] < distance["DDIM", "chosen, trajectories"]
    assert (tmp_path / "compare.png").stat().st_size > 10_000


def test_the_larger_digits_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(MNIST)
    transformer = importlib.import_module("transformer")
    reference = importlib.import_module("reference").Reference.load(MNIST / "reference.npz")
    distance = importlib.import_module("compare").distance
    network = transformer.MnistNetwork.load(MNIST / "weights.npz")
    points = transformer.TRAIN_SCHEDULE.subsample(steps=7, spacing="log_snr", rounded=True)[1:]
    x = np.random.default_rng(0).standard_normal((60, 1, 28, 28), dtype=np.float32)
    options = {"prediction": "v", "clip": (-1, 1), "labels": np.arange(60) % 10}
    images = sample(network, points, DPMSolverPP(order=2), x, **options)
    few = sample(network, points[-2:], DPMSolverPP(order=2), x, **options)
    real = reference.held_out
    ours, coarse = (distance(reference.features(batch), real) for batch in (images, few))
    assert ours < 0.5 * coarse


@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="torch is not installed")
def test_the_transformer_is_the_one_that_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(MNIST)
    training = importlib.import_module("train_transformer")
    torch = importlib.import_module("torch")
    generator = torch.Generator().manual_seed(0)
    network = training.TorchMnistNetwork().requires_grad_(False)
    for parameter in network.parameters():  # those that start at 0, too
        parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        parameter.copy_(parameter.half())
    training.save(network, tmp_path / "weights.npz")
    scale = float(network(torch.ones(1, 1, 28, 28), torch.tensor([500]), torch.tensor([3])).std())
    difference = training.max_difference(network, tmp_path / "weights.npz")
    assert difference < 1e-5 * scale
