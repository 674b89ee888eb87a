"""A small class-conditional denoising network for 8x8 digits, in plain NumPy.

The weights come from `train.py`, which trains the same architecture in PyTorch. Nothing here
imports PyTorch, so sampling needs NumPy alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schedalg import Schedule

#: The schedule that the network was trained on.
TRAIN_SCHEDULE = Schedule.linear(1000)
NUM_CLASSES = 10
IMAGE_SHAPE = (1, 8, 8)

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.integer]


def timestep_features(timesteps: IntArray, size: int) -> FloatArray:
    """Return sines and cosines of the timesteps at geometric frequencies, shape (B, size)."""
    frequencies = float(len(TRAIN_SCHEDULE)) ** -np.linspace(0.0, 1.0, size // 2)
    angles = np.asarray(timesteps)[:, None] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def load_digits_split(seed: int = 0) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Return scikit-learn's digits in two halves: train images and labels, and held-out ones.

    Images are float32 of shape (N, 1, 8, 8), scaled from 0..16 to [-1, 1]. The halves, of 898 and
    899 images, are disjoint, and each class is split evenly between them.
    """
    # Imported here because the network itself does not need scikit-learn.
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images / 8.0 - 1.0).astype(np.float32).reshape(-1, *IMAGE_SHAPE)
    labels = digits.target.astype(np.int64)
    # RandomState, unlike default_rng, promises the same stream in every NumPy release, and the
    # stored weights must be used with the split that they were trained on.
    rng = np.random.RandomState(seed)
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    held_out = rng.permutation(by_class[0::2])
    train = rng.permutation(by_class[1::2])
    return images[train], labels[train], images[held_out], labels[held_out]


class DigitsNetwork:
    """Predicts the noise `eps` in a noisy digit, given its timestep and its class.

    A residual multilayer perceptron on the 64 pixels. Timestep and class are embedded together,
    and the embedding scales and shifts the normalized activations of every block.
    """

    def __init__(self, weights: dict[str, FloatArray]) -> None:
        self._weights = weights
        self._num_blocks = sum(name.endswith(".film.weight") for name in weights) - 1
        self._signal = TRAIN_SCHEDULE.alpha.astype(np.float32)
        self._noise = TRAIN_SCHEDULE.sigma.astype(np.float32)

    @classmethod
    def load(cls, path: str | Path) -> DigitsNetwork:
        """Read the weights, stored as float16 to keep the file small, and compute in float32."""
        with np.load(path, allow_pickle=False) as archive:
            return cls({name: archive[name].astype(np.float32) for name in archive.files})

    def __call__(self, x: FloatArray, timesteps: IntArray, labels: IntArray) -> FloatArray:
        """Return the predicted `eps`, float32 of shape (B, 1, 8, 8).

        `x` is the noisy batch, of that shape too. `timesteps` (B,) are those of the 1000-step
        training schedule, 0..999, and may differ within the batch; `labels` (B,) are 0..9.
        """
        pixels = np.asarray(x, dtype=np.float32).reshape(len(x), -1)
        timesteps, labels = np.asarray(timesteps), np.asarray(labels)
        # In a sampling loop a batch holds one timestep and ten classes, so the conditioning is
        # computed once per distinct pair and then indexed for each image.
        pairs, row = np.unique(timesteps * NUM_CLASSES + labels, return_inverse=True)
        embedding = self._embed(pairs // NUM_CLASSES, pairs % NUM_CLASSES)

        h = self._linear("input", pixels)
        for i in range(self._num_blocks):
            u = self._film(f"blocks.{i}.film", h, embedding, row)
            u = _silu(self._linear(f"blocks.{i}.hidden", u))
            h += self._linear(f"blocks.{i}.output", u)
        velocity = self._linear("output", self._film("final.film", h, embedding, row))

        # The perceptron predicts v = signal * eps - noise * x0. Computing eps from v, rather than
        # predicting it directly, keeps x0 accurate where the image is nearly all noise.
        signal, noise = self._signal[timesteps, None], self._noise[timesteps, None]
        eps: FloatArray = noise * pixels + signal * velocity
        return eps.reshape(x.shape)

    def _embed(self, timesteps: IntArray, labels: IntArray) -> FloatArray:
        size = self._weights["time.0.weight"].shape[0]
        time = _silu(self._linear("time.0", timestep_features(timesteps, size)))
        return _silu(self._linear("time.2", time) + self._weights["classes.weight"][labels])

    def _film(self, name: str, h: FloatArray, embedding: FloatArray, row: IntArray) -> FloatArray:
        scale, shift = np.split(self._linear(name, embedding), 2, axis=1)
        gain = 1.0 / np.sqrt(np.einsum("ij,ij->i", h, h) / h.shape[1] + 1e-6)
        u = (1.0 + scale)[row]
        u *= h
        u *= gain[:, None]
        u += shift[row]
        return u

    def _linear(self, name: str, x: FloatArray) -> FloatArray:
        y: FloatArray = x @ self._weights[f"{name}.weight"]
        y += self._weights[f"{name}.bias"]
        return y


def _silu(x: FloatArray) -> FloatArray:
    # x * sigmoid(x) by way of tanh, which unlike exp cannot overflow.
    half = 0.5 * x
    y: FloatArray = np.tanh(half)
    y *= half
    y += half
    return y
