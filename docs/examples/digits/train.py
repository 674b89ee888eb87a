"""Train the network of `network.py` in PyTorch on half of scikit-learn's digits.

    python docs/examples/digits/train.py

writes `weights.npz` into its own folder, in a few minutes on two cores. Sampling does not need it.
"""

from __future__ import annotations

import copy
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from network import (
    IMAGE_SHAPE,
    NUM_CLASSES,
    TRAIN_SCHEDULE,
    DigitsNetwork,
    load_digits_split,
    timestep_features,
)
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS_PATH = Path(__file__).with_name("weights.npz")

SEED = 0
WIDTH = 192
EMBEDDING = 48
NUM_BLOCKS = 3
# Augmentation: how far an image moves along the line to a neighbour, how many neighbours it has,
# and how much its strokes are roughened.
BLEND = 0.5
NUM_NEIGHBOURS = 5
ROUGHNESS = 0.2

NUM_STEPS = 16_000
BATCH_SIZE = 512
LEARNING_RATE = 2e-3
WARMUP_STEPS = 500
EMA_DECAY = 0.9995


class Film(nn.Module):
    """Root-mean-square normalization, scaled and shifted by the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.film = nn.Linear(EMBEDDING, 2 * WIDTH)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def modulate(self, h: Tensor, embedding: Tensor) -> Tensor:
        """Normalize `h` and apply the scale and shift read from the embedding."""
        scale, shift = self.film(embedding).chunk(2, dim=1)
        gain = torch.rsqrt(h.square().mean(dim=1, keepdim=True) + 1e-6)
        modulated: Tensor = (1.0 + scale) * h * gain + shift
        return modulated


class Block(Film):
    """A residual block of one hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(WIDTH, WIDTH)
        self.output = nn.Linear(WIDTH, WIDTH)
        # A block that starts as the identity lets the depth come in gradually.
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """Add the block's correction to `h`."""
        correction: Tensor = self.output(functional.silu(self.hidden(self.modulate(h, embedding))))
        return h + correction


class TorchDigitsNetwork(nn.Module):
    """The architecture of `DigitsNetwork`, up to the velocity from which `eps` is computed."""

    def __init__(self) -> None:
        super().__init__()
        pixels = math.prod(IMAGE_SHAPE)
        self.time = nn.Sequential(
            nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING)
        )
        self.classes = nn.Embedding(NUM_CLASSES, EMBEDDING)
        self.input = nn.Linear(pixels, WIDTH)
        self.blocks = nn.ModuleList([Block() for _ in range(NUM_BLOCKS)])
        self.final = Film()
        self.output = nn.Linear(WIDTH, pixels)
        features = timestep_features(TRAIN_SCHEDULE.timesteps, EMBEDDING)
        self.features = nn.Buffer(torch.from_numpy(features), persistent=False)

    def forward(self, pixels: Tensor, timesteps: Tensor, labels: Tensor) -> Tensor:
        """Return the predicted velocity, shape (B, 64)."""
        embedding = functional.silu(self.time(self.features[timesteps]) + self.classes(labels))
        h: Tensor = self.input(pixels)
        for block in self.blocks:
            h = block(h, embedding)
        velocity: Tensor = self.output(self.final.modulate(h, embedding))
        return velocity


def nearest_neighbours(x0: Tensor, labels: Tensor) -> Tensor:
    """Return the indices of each image's nearest images of its class, (N, NUM_NEIGHBOURS)."""
    distances = torch.cdist(x0, x0)
    distances[labels[:, None] != labels] = math.inf
    distances.fill_diagonal_(math.inf)
    return distances.topk(NUM_NEIGHBOURS, largest=False).indices


def augment(x0: Tensor, neighbours: Tensor) -> Tensor:
    """Move images towards or away from a neighbour each, and roughen their strokes.

    Without it the network learns its few hundred images by heart at the small noise levels, and
    pulls everything else towards them. Shifts or rotations would blur images this small.
    """
    blended = x0 + BLEND * torch.randn(len(x0), 1) * (neighbours - x0)
    roughened = blended + ROUGHNESS * torch.randn(x0.shape) * (x0 > -1.0)
    return roughened.clamp(-1.0, 1.0)


def learning_rate(step: int) -> float:
    """Return the rate: a short linear warm-up, then a cosine decay to zero."""
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    return LEARNING_RATE * warmup * 0.5 * (1.0 + math.cos(math.pi * step / NUM_STEPS))


@torch.no_grad()
def evaluate(network: TorchDigitsNetwork, x0: Tensor, labels: Tensor) -> float:
    """Return the mean squared error of the velocity, over every tenth timestep."""
    generator = torch.Generator().manual_seed(SEED)
    losses = []
    for t in range(0, len(TRAIN_SCHEDULE), 10):
        timesteps = torch.full((len(x0),), t)
        eps = torch.randn(x0.shape, generator=generator)
        pixels = TRAIN_SCHEDULE.add_noise(x0, eps, timesteps)
        velocity = TRAIN_SCHEDULE.target(x0, eps, timesteps, "v")
        losses.append(functional.mse_loss(network(pixels, timesteps, labels), velocity).item())
    return float(np.mean(losses))


def train() -> TorchDigitsNetwork:
    """Train on the train half and return the averaged network."""
    train_images, train_labels, held_out_images, held_out_labels = load_digits_split()
    x0, labels = torch.from_numpy(train_images).flatten(1), torch.from_numpy(train_labels)
    held_out = torch.from_numpy(held_out_images).flatten(1), torch.from_numpy(held_out_labels)
    neighbours = nearest_neighbours(x0, labels)

    torch.manual_seed(SEED)
    network = TorchDigitsNetwork()
    averaged = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.0)
    start = time.perf_counter()
    for step in range(NUM_STEPS):
        batch = torch.randint(len(x0), (BATCH_SIZE,))
        timesteps = torch.randint(len(TRAIN_SCHEDULE), (BATCH_SIZE,))
        eps = torch.randn(BATCH_SIZE, x0.shape[1])
        neighbour = neighbours[batch, torch.randint(NUM_NEIGHBOURS, (BATCH_SIZE,))]
        images = augment(x0[batch], x0[neighbour])
        pixels = TRAIN_SCHEDULE.add_noise(images, eps, timesteps)
        velocity = TRAIN_SCHEDULE.target(images, eps, timesteps, "v")
        # The squared error of v is that of eps, weighted up where the signal is weak.
        loss = functional.mse_loss(network(pixels, timesteps, labels[batch]), velocity)
        optimizer.param_groups[0]["lr"] = learning_rate(step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # The average must forget the random start, so its length grows with the steps.
        decay = min(EMA_DECAY, (step + 1) / (step + 10))
        for average, parameter in zip(averaged.parameters(), network.parameters(), strict=True):
            average.lerp_(parameter.detach(), 1.0 - decay)
        if (step + 1) % 2000 == 0:
            print(
                f"step {step + 1:6d}  {time.perf_counter() - start:4.0f} s"
                f"  train {evaluate(averaged, x0, labels):.5f}"
                f"  held-out {evaluate(averaged, *held_out):.5f}",
                flush=True,
            )
    return averaged


def save(network: TorchDigitsNetwork, path: Path) -> None:
    """Store the weights as float16, linear ones transposed so that NumPy computes `x @ weight`."""
    arrays: dict[str, Any] = {}
    for name, value in network.state_dict().items():
        array = value.numpy().astype(np.float16)
        linear = name.endswith(".weight") and name != "classes.weight"
        arrays[name] = np.ascontiguousarray(array.T) if linear else array
    np.savez(path, **arrays)


@torch.no_grad()
def max_difference(network: TorchDigitsNetwork, path: Path) -> float:
    """Return the largest difference in `eps` between PyTorch and the stored NumPy network."""
    _, _, images, class_labels = load_digits_split()
    x0, labels = torch.from_numpy(images).flatten(1), torch.from_numpy(class_labels)
    generator = torch.Generator().manual_seed(SEED)
    timesteps = torch.randint(len(TRAIN_SCHEDULE), (len(x0),), generator=generator)
    eps = torch.randn(x0.shape, generator=generator)
    pixels = TRAIN_SCHEDULE.add_noise(x0, eps, timesteps)
    alpha = torch.tensor(TRAIN_SCHEDULE.alpha)[timesteps, None]
    sigma = torch.tensor(TRAIN_SCHEDULE.sigma)[timesteps, None]
    expected = sigma * pixels + alpha * network(pixels, timesteps, labels)
    x = pixels.numpy().reshape(images.shape)
    actual = DigitsNetwork.load(path)(x, timesteps.numpy(), class_labels)
    return float(np.abs(actual.reshape(len(x), -1) - expected.numpy()).max())


def main() -> None:
    """Train, store, and check that the stored network computes what the trained one does."""
    torch.set_num_threads(2)
    network = train()
    save(network, WEIGHTS_PATH)
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"{num_parameters} parameters, {WEIGHTS_PATH.stat().st_size} bytes")
    print(f"NumPy against PyTorch, float32 weights: {max_difference(network, WEIGHTS_PATH):.1e}")
    # The timestep features are not stored, so only the parameters are rounded.
    for parameter in network.parameters():
        parameter.copy_(parameter.half())
    difference = max_difference(network, WEIGHTS_PATH)
    print(f"NumPy against PyTorch, the stored float16 weights: {difference:.1e}")
    if difference > 1e-3:
        raise RuntimeError("The NumPy network does not reproduce the PyTorch one.")


if __name__ == "__main__":
    main()
