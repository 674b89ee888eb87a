"""A recipe, networks and folders that the tests of this room share."""

from pathlib import Path
from typing import Any

import numpy as np

from schedalg import DDPM, Recipe, Schedule

SCHEDULE = Schedule.linear(1000).subsample(steps=3)
RECIPE = Recipe(schedule=SCHEDULE, sampler=DDPM(), shape=(2, 3), clip=(-1, 1))
FORMATS = ("npy", "npz", "png", "parquet")
SEEDS = range(3, 10)


def network(x: Any, timesteps: Any) -> Any:
    """Return a prediction for each sample apart."""
    return 0.5 * x


def factory() -> Any:
    """Return the network."""
    return network


def with_like() -> Any:
    """Return the network, and an array of the library that it takes."""
    return network, np.zeros(1, dtype=np.float32)


def labels(seeds: list[int]) -> dict[str, Any]:
    """Return the condition of each seed."""
    return {"y": np.array(seeds, dtype=np.float32) / 10}


def labelled() -> Any:
    """Return a network with a condition."""
    return lambda x, timesteps, y: 0.5 * x + y[:, None, None]


def held(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }


def nan_network() -> Any:
    """Return a network whose output is NaN for one seed of a block."""

    def model(x: Any, timesteps: Any) -> Any:
        output = network(x, timesteps)
        output[1:2] = np.nan
        return output

    return model
