"""What a folder of samples costs beside the samples: bytes, writing, looking, and Ray.

    python -m tests.benchmarks.bulk

from the root of the repository, where pyarrow, Pillow and Ray are installed. Not part of the tests:
times are noisy, and only ratios of times taken in turns mean anything.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from schedalg import DDIM, Recipe, Schedule, generate
from schedalg.bulk.folder import Folder
from schedalg.bulk.generation import checked_layout
from tests.benchmarks.timing import Timed, in_turns

#: An image of 32 x 32, in blocks of 256.
IMAGES = Recipe(schedule=Schedule.linear(1000)[:1], sampler=DDIM(), shape=(3, 32, 32))
BLOCK = 256
FORMATS = ("npy", "parquet", "npz", "png")
FACTORY = "tests.bulk.few:factory"


def folder_of(path: Path, form: str, count: int, recipe: Recipe = IMAGES) -> Folder:
    """Return a folder, made and claimed."""
    folder = Folder(path, checked_layout(recipe, FACTORY, range(count), BLOCK, form, (-1, 1)))
    folder.open()
    folder.claim({})
    return folder


def sizes(place: Path) -> None:
    """Print the bytes of a sample in each format."""
    samples = (
        np.random.default_rng(0).normal(size=(BLOCK, 3, 32, 32)).astype(np.float32).clip(-1, 1)
    )
    for form in FORMATS:
        folder = folder_of(place / f"size-{form}", form, BLOCK)
        folder.deliver(0, samples)
        folder.finish()
        files = [path for path in folder.path.rglob("*") if path.name != "recipe.json"]
        total = sum(path.stat().st_size for path in files)
        print(f"{form}: {total / BLOCK:.1f} bytes a sample, {len(files)} files for {BLOCK}")


def writing(place: Path) -> None:
    """Print what writing a block takes, as a multiple of `np.save` and one fsync."""
    samples = np.random.default_rng(0).normal(size=(BLOCK, 3, 32, 32)).astype(np.float32)

    def plain() -> None:
        with (place / "plain.npy").open("wb") as file:
            np.save(file, samples)
            file.flush()
            os.fsync(file.fileno())

    def delivered(form: str) -> Callable[[], None]:
        folder = folder_of(place / f"written-{form}", form, BLOCK)
        return lambda: folder.deliver(0, samples)

    entries = [Timed(plain), *(Timed(delivered(form)) for form in FORMATS)]
    times = np.median(in_turns(*entries, rounds=(20, 60), seconds=20), axis=0)
    for form, seconds in zip(FORMATS, times[1:], strict=True):
        print(f"a block as {form}: {seconds / times[0]:.2f} times np.save with fsync")
    print(f"(np.save with fsync: {1000 * times[0]:.1f} ms for {samples.nbytes / 1e6:.2f} MB)")


def looking(place: Path, count: int = 100_000) -> None:
    """Print what it takes to see which of many blocks are missing."""
    folder = folder_of(place / "many", "npy", count * BLOCK)
    for block in folder.layout.blocks:
        (folder.path / folder.form.names(folder.layout, block)[0]).touch()

    entries = [
        Timed(lambda: os.listdir(folder.path)),
        Timed(lambda: folder.missing(folder.layout.blocks)),
    ]
    listed, missing = np.median(in_turns(*entries, rounds=(5, 10), seconds=20), axis=0)
    print(
        f"{count} blocks, what is missing: {missing:.2f} s, {missing / listed:.1f} times a listing"
    )


def on_ray(place: Path, blocks: int = 200) -> None:
    """Print what a block of next to nothing takes on Ray, and in this process."""
    import ray

    small = replace(IMAGES, shape=(1,))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    engines = {
        "embedded": {"engine": "embedded"},
        "1 actor": {"engine": "ray", "actors": 1},
        "2 actors": {"engine": "ray", "actors": 2},
    }
    times: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(5):
        for name, options in engines.items():
            out = place / f"{name}-{turn}"
            generate(small, FACTORY, range(blocks), out, batch_size=1, **options)
            written = sorted(path.stat().st_mtime for path in out.glob("*.npy"))
            times[name].append((written[-1] - written[0]) / (blocks - 1))
    for name, each in times.items():
        ratio = np.median(np.divide(each, times["embedded"]))
        took = 1000 * np.median(each)
        print(f"a block of one number, {name}: {took:.1f} ms, {ratio:.2f} times embedded")
    ray.shutdown()


def main() -> None:
    """Print every figure."""
    with tempfile.TemporaryDirectory() as place:
        for measure in (sizes, writing, looking, on_ray):
            measure(Path(place))


if __name__ == "__main__":
    main()
