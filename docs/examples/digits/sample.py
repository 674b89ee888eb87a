"""Sample handwritten digits in 1000, 100, 50, 20, 10 and 5 steps from one 1000-step network.

    python docs/examples/digits/sample.py

Sampling needs only NumPy. The script prints a table and writes a picture, `digits.png`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from network import DigitsNetwork, FloatArray, IntArray, load_digits_split

from schedalg import DDIM, DDPM, Schedule, sample

STEPS = (1000, 100, 50, 20, 10, 5)
COLUMNS = 20


@dataclass(frozen=True)
class Setting:
    """One row of the table and of the picture."""

    name: str
    steps: int
    sampler: DDPM | DDIM


@dataclass(frozen=True)
class Result:
    """The result of a setting."""

    setting: Setting
    calls: int
    seconds: float
    distance: float
    images: FloatArray


class CountCalls:
    """The network, with a counter of its calls."""

    def __init__(self, network: DigitsNetwork) -> None:
        self.network = network
        self.calls = 0

    def __call__(self, x: FloatArray, timesteps: IntArray, labels: IntArray) -> FloatArray:
        """Return the network's prediction."""
        self.calls += 1
        return self.network(x, timesteps, labels)


def frechet_distance(a: FloatArray, b: FloatArray) -> float:
    """Return the Fréchet distance between Gaussians fitted to the 64 pixels of two sets of images.

    |mean_a - mean_b|² + tr(C_a + C_b - 2 (C_a C_b)^½), in units of squared pixel values, which run
    from -1 to 1: the smaller, the more alike the two sets are, in their means and covariances.
    """
    rows_a, rows_b = (images.reshape(len(images), -1).astype(np.float64) for images in (a, b))
    cov_a, cov_b = np.cov(rows_a, rowvar=False), np.cov(rows_b, rowvar=False)
    values, vectors = np.linalg.eigh(cov_a)
    root_a = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    cross = np.linalg.eigvalsh(root_a @ cov_b @ root_a)
    shift = rows_a.mean(axis=0) - rows_b.mean(axis=0)
    spread = np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(np.maximum(cross, 0)).sum()
    return float(shift @ shift + spread)


def run(setting: Setting, network: DigitsNetwork, labels: IntArray, real: FloatArray) -> Result:
    """Sample an image for each label, and compare them with real ones."""
    schedule = Schedule.linear(1000).subsample(steps=setting.steps, spacing="trailing")
    counted = CountCalls(network)
    noise = np.random.default_rng(0).standard_normal((len(labels), 1, 8, 8), dtype=np.float32)
    print(f"{setting.name}, {setting.steps} steps")
    start = time.perf_counter()
    images = sample(
        counted,
        schedule,
        setting.sampler,
        noise,
        clip=(-1, 1),
        noise=1,
        progress=True,
        labels=labels,
    )
    seconds = time.perf_counter() - start
    return Result(setting, counted.calls, seconds, frechet_distance(images, real), images)


def table(results: list[Result], reference: float) -> str:
    """Return the results as text, the distance between halves of the real data below them."""
    lines = [f"{'sampler':<8} {'steps':>6} {'network calls':>14} {'seconds':>8} {'distance':>9}"]
    lines += [
        f"{r.setting.name:<8} {r.setting.steps:>6} {r.calls:>14} {r.seconds:>8.2f} "
        f"{r.distance:>9.3f}"
        for r in results
    ]
    lines += [
        f"{'real':<8} {'-':>6} {'-':>14} {'-':>8} {reference:>9.3f}",
        "",
        "distance: Fréchet distance of the 64 pixels to the held-out half of the real digits, for",
        "as many images. The last line is that of the other real half: as near as one can expect.",
    ]
    return "\n".join(lines)


def picture(results: list[Result], labels: IntArray, real: FloatArray, path: Path) -> None:
    """Draw a row of digits for each setting, each digit twice, below a row of real ones."""
    columns = [np.flatnonzero(labels == i % 10)[i // 10] for i in range(COLUMNS)]
    rows = [("real digits", real)] + [
        (f"{r.setting.name}, {r.setting.steps} steps", r.images) for r in results
    ]
    figure, axes = plt.subplots(len(rows), 1, figsize=(10, 0.43 * len(rows)))
    for axis, (name, images) in zip(axes, rows, strict=True):
        gap = np.full((len(columns), 8, 1), -1.0, dtype=np.float32)
        strip = np.concatenate([images[columns, 0], gap], axis=2)
        axis.imshow(np.concatenate(list(strip), axis=1), cmap="gray", vmin=-1, vmax=1)
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.subplots_adjust(left=0.15, right=0.995, top=0.995, bottom=0.005, hspace=0.06)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Sample with every setting; print the table and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS, help="numbers of steps")
    parser.add_argument("--out", type=Path, default=Path("digits.png"), help="the picture")
    arguments = parser.parse_args()

    train, _, held_out, labels = load_digits_split()
    network = DigitsNetwork.load(Path(__file__).with_name("weights.npz"))
    samplers: dict[str, DDPM | DDIM] = {"DDPM": DDPM(), "DDIM": DDIM()}
    results = [
        run(Setting(name, steps, sampler), network, labels, held_out)
        for name, sampler in samplers.items()
        for steps in arguments.steps
    ]
    print(table(results, frechet_distance(train, held_out)))
    picture(results, labels, held_out, arguments.out)
    print(f"picture: {arguments.out.resolve()}")


if __name__ == "__main__":
    main()
