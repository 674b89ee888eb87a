"""Draw handwritten digits of one network, a row for each sampler and number of calls.

    python docs/examples/mnist/draw.py

writes `digits.png`, and writes it anew after each row, those of few calls first. It takes about
half a minute. Sampling needs only NumPy.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm
from transformer import IMAGE_SHAPE, NO_CLASS, NUM_CLASSES, TRAIN_SCHEDULE, MnistNetwork

from schedalg import (
    DDIM,
    DDPM,
    ClassifierFreeGuidance,
    DPMSolverPP,
    Plan,
    Schedule,
    UniPC,
    choose,
    fit,
    initial_noise,
    run,
    trajectories,
    trajectory_costs,
)

Array = NDArray[np.floating]

#: One digit of each class. A start and all noise come from a seed.
LABELS = np.arange(NUM_CLASSES)
SEEDS = list(range(NUM_CLASSES))
#: How strongly the network is guided towards the class.
GUIDANCE = 2.0

TWO_M = DPMSolverPP(order=2)
#: The points that a chosen step may lead from and to.
TEACHER = TRAIN_SCHEDULE.subsample(steps=50, spacing="log_snr", rounded=True)


def guided(network: MnistNetwork, labels: NDArray[np.integer]) -> ClassifierFreeGuidance:
    """Return the network, guided towards classes and away from a digit of any class."""
    return ClassifierFreeGuidance(
        network,
        GUIDANCE,
        cond={"labels": labels},
        uncond={"labels": np.full_like(labels, NO_CLASS)},
    )


def starts(seeds: list[int]) -> Array:
    """Return pure noise, an image from each seed."""
    noise: Array = initial_noise(
        TRAIN_SCHEDULE, (len(seeds), *IMAGE_SHAPE), seeds, like=np.zeros(1, dtype=np.float32)
    )
    return noise


def trailing(sampler: DDPM | DDIM | DPMSolverPP | UniPC) -> Callable[[Any, int], Plan]:
    """Return what makes the plan of a sampler for a number of calls, in even steps."""
    return lambda network, calls: sampler.plan(
        TRAIN_SCHEDULE.subsample(steps=calls, spacing="trailing")
    )


def chosen(network: MnistNetwork, calls: int) -> Plan:
    """Return 2M through the points that lose least, with the coefficients that fit the network."""
    labels = np.tile(LABELS, 2)
    model, x = guided(network, labels), starts(list(range(100, 100 + len(labels))))
    how: dict[str, Any] = {"prediction": "v", "clip": (-1, 1)}
    costs = trajectory_costs(trajectories(model, TEACHER, x, DDIM().plan(TEACHER), **how))
    # The least noisy point is left out: there, the network has nothing left to do.
    points: Schedule = choose(TEACHER, calls + 1, costs)[1:]
    states = trajectories(model, points, x, TWO_M.plan(TEACHER), **how)
    return fit(TWO_M.plan(points), states, memories=min(calls, 3))


SAMPLERS: dict[str, Callable[[Any, int], Plan]] = {
    "DDPM": trailing(DDPM()),
    "DDIM": trailing(DDIM()),
    "2M": trailing(TWO_M),
    "UniPC": trailing(UniPC(order=2)),
    "chosen steps": chosen,
}
ROWS = [
    ("2M", 3),
    ("chosen steps", 3),
    ("DDPM", 5),
    ("DDIM", 5),
    ("2M", 5),
    ("chosen steps", 5),
    ("DDPM", 10),
    ("DDIM", 10),
    ("UniPC", 10),
    ("DDPM", 20),
    ("DDIM", 20),
    ("UniPC", 20),
    ("DDPM", 50),
    ("DDIM", 50),
    ("DDPM", 1000),
]


class Picture:
    """A strip for each row, empty until it is drawn."""

    def __init__(self, names: list[str], path: Path) -> None:
        self.path = path
        height, width = IMAGE_SHAPE[1], IMAGE_SHAPE[2] * NUM_CLASSES
        self._figure, axes = plt.subplots(
            len(names), 1, figsize=(6, 0.45 * len(names)), squeeze=False
        )
        self._strips = []
        for axis, name in zip(axes[:, 0], names, strict=True):
            empty = np.full((height, width), -1.0)
            self._strips.append(axis.imshow(empty, cmap="gray", vmin=-1, vmax=1))
            axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
            axis.set_xticks([])
            axis.set_yticks([])
        self._figure.subplots_adjust(left=0.27, right=0.99, top=0.99, bottom=0.01, hspace=0.06)

    def draw(self, row: int, images: Array) -> None:
        """Draw the digits of a row, and write the picture as far as it is."""
        self._strips[row].set_data(np.concatenate(list(images[:, 0]), axis=1))
        self._figure.savefig(self.path, dpi=110)


def main() -> None:
    """Sample all rows, and draw each as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=1000, help="leave out rows of more calls")
    parser.add_argument("--out", type=Path, default=Path("digits.png"), help="the picture")
    arguments = parser.parse_args()
    rows = [(name, calls) for name, calls in ROWS if calls <= arguments.most]

    network = MnistNetwork.load(Path(__file__).with_name("weights.npz"))
    picture = Picture([f"{name}, {calls} calls" for name, calls in rows], arguments.out)
    x, model = starts(SEEDS), guided(network, LABELS)
    with tqdm(total=sum(calls for _, calls in rows), unit="call") as bar:

        def counted(x: Array, timesteps: NDArray[np.integer]) -> Array:
            bar.update()
            output: Array = model(x, timesteps)
            return output

        for row, (name, calls) in enumerate(rows):
            bar.set_description(f"{name}, {calls}")
            plan = SAMPLERS[name](network, calls)
            images = run(plan, counted, x, prediction="v", clip=(-1, 1), noise=SEEDS)
            picture.draw(row, images)
    print(f"picture: {arguments.out.resolve()}")


if __name__ == "__main__":
    main()
