"""`generate`: samples of many seeds into a folder, resumable, each made once."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from schedalg.arrays import Array
from schedalg.bulk import ray_engine
from schedalg.bulk.folder import Folder
from schedalg.bulk.formats import format_named
from schedalg.bulk.keywords import Keywords
from schedalg.bulk.layout import Layout
from schedalg.bulk.making import Maker, Network
from schedalg.bulk.recipe import Recipe
from schedalg.bulk.seeds import distinct_seeds
from schedalg.checks import check_callable, checked_path, flag, integer, positive_integer, shown
from schedalg.network.denoiser import AnyDenoiser
from schedalg.network.model import Model
from schedalg.plotting.images import checked_range
from schedalg.plugins import imported


def generate(
    recipe: Recipe,
    model: Model | AnyDenoiser | str,
    seeds: Sequence[int],
    out: str | os.PathLike[str],
    *,
    batch_size: int,
    format: Literal["npy", "parquet", "npz", "png"] = "npy",  # noqa: A002
    like: Array | None = None,
    cond: Keywords | str | None = None,
    uncond: Keywords | str | None = None,
    pixel_range: tuple[float, float] = (-1.0, 1.0),
    check_finite: bool = True,
    part: tuple[int, int] = (0, 1),
    engine: Literal["embedded", "ray"] = "embedded",
    actors: int = 1,
    actor_options: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> None:
    """Make the samples of many seeds, in a folder.

    Seeds are cut into blocks of `batch_size`, each made in one batch. The same blocks are the same
    bytes, whoever makes them and in whatever order. (A network's own products round differently in
    batches of other sizes: with another `batch_size`, samples are the same to rounding, and to the
    byte if the network treats samples apart.)

    Stopped at any moment and called again, it makes the blocks that are missing, and the folder is
    byte for byte that of an undisturbed call. A folder of another recipe, of other seeds or blocks,
    or of another version of a library is an error. The network itself is not known to the folder,
    but for its name where `model` is a string.

    Args:
        recipe: The recipe.
        model: The network, as `sample` takes it; or "package.module:factory", the name of a
            function that returns the network, or a pair of the network and of `like`.
        seeds: A range, or a list of integers from 0 to 2^128 - 1, of which none is there twice.
        out: The folder. It is made if it does not exist.
        batch_size: The number of seeds in a block.
        format: "npy": a file for each block, in the recipe's dtype. "parquet": the same, with a
            column of seeds (needs pyarrow). "npz": one file for ADM's evaluator, `arr_0` of bytes,
            (N, height, width, channels). "png": a file for each seed (needs Pillow).
        like: An array whose library and device the samples have. None: that of the factory, or
            NumPy.
        cond: Keywords of the network, or a function of a list of seeds that returns them; or the
            name of such a function.
        uncond: The same keywords without the condition, for guidance.
        pixel_range: For "npz" and "png": (low, high), the numbers that become 0 and 255. A byte is
            the whole part of 255 (x - low) / (high - low), within 0 and 255.
        check_finite: Raise if the network returns NaN or infinity, or a sample becomes so, and name
            the seeds. Costs a pass over each output and the samples, and a synchronization on a
            GPU.
        part: (rank, world size): make only the blocks rank, rank + world size, …, where several
            processes share a folder.
        engine: "embedded": in this process. "ray": by actors on a cluster of Ray (needs ray), which
            see the folder under the same path. They make the network from its name, and write the
            same bytes.
        actors: With "ray", how many there are.
        actor_options: With "ray", Ray's options for each actor, such as {"num_gpus": 1}.
        progress: Show a bar with the rate and the time left (needs tqdm).

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument has a wrong value, a seed is there twice, the folder is of something
            else, or the network returned NaN or infinity, or a sample became so.
        MemoryError: Memory ran out: the message says what to try.
        OSError: There is no room, or the folder cannot be written.
        ImportError: A package that the format, the engine or the bar needs is not installed.
        ConnectionError: There is no cluster of Ray at RAY_ADDRESS.
        RuntimeError: An actor of Ray died again and again. (Where the whole cluster is gone, Ray
            may end this process without a word: what is done is kept.)
        Exception: What the network raises, with a note that names the seeds. Blocks that were made
            before are kept.

    Example:
        >>> import numpy as np, tempfile
        >>> from pathlib import Path
        >>> from schedalg import DDIM, Recipe, Schedule, generate
        >>> fast = Schedule.linear(1000).subsample(steps=5)
        >>> recipe = Recipe(schedule=fast, sampler=DDIM(), shape=(2,), prediction="x0")
        >>> with tempfile.TemporaryDirectory() as out:
        ...     generate(recipe, lambda x, timesteps: 0 * x, range(10), out, batch_size=4)
        ...     [np.load(file).shape for file in sorted(Path(out).glob("*.npy"))]
        [(4, 2), (4, 2), (2, 2)]

    Source: the `.npz` is that of Dhariwal and Nichol, arXiv 2105.05233.
    """
    folder = Folder(
        checked_path("out", out),
        checked_layout(recipe, model, seeds, batch_size, format, pixel_range),
    )
    network = Network(model, like, cond, uncond, flag("check_finite", check_finite))
    blocks = blocks_of(folder.layout, part)
    progress = flag("progress", progress)
    if not isinstance(engine, str) or engine not in ("embedded", "ray"):
        raise ValueError(f"engine must be 'embedded' or 'ray', got {shown(engine)}")
    count, options = ray_engine.checked_actors(actors, actor_options)
    if engine == "ray":
        ray_engine.check_network(network)
    elif not isinstance(model, str):
        check_callable("model", model)
    folder.open()
    missing = folder.missing(blocks)
    folder.remove_begun(missing)
    made: Iterator[int] = iter(())
    if missing and engine == "ray":
        made = ray_engine.made_on_ray(folder, network, missing, count, options)
    elif missing:
        made = _made_here(folder, Maker(recipe, network), missing)
    for _ in _shown(made, missing, folder.layout, blocks, progress):
        pass
    folder.finish()


def _made_here(folder: Folder, maker: Maker, missing: Sequence[int]) -> Iterator[int]:
    """Make blocks in this process, and yield each when it is there."""
    folder.claim(maker.made_with())
    for block in missing:
        folder.deliver(block, maker.block(folder.layout.seeds_of(block)))
        yield block


def checked_layout(
    recipe: Any,
    model: Any,
    seeds: Any,
    batch_size: Any,
    format: Any,  # noqa: A002
    pixel_range: Any,
) -> Layout:
    """Return what a folder is to hold.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: An argument has a wrong value, or does not go with the format.
        ImportError: A package that the format needs is not installed.
    """
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a Recipe, got {shown(recipe)}")
    form = format_named(format)
    span = checked_range(pixel_range)
    layout = Layout(
        recipe=recipe,
        seeds=distinct_seeds(seeds),
        batch_size=positive_integer("batch_size", batch_size),
        format=format,
        pixel_range=span if form.of_bytes else None,
        model=model if isinstance(model, str) else None,
    )
    form.check(layout)
    return layout


def blocks_of(layout: Layout, part: Any) -> range:
    """Return the blocks of one of several processes: rank, rank + world size, ….

    Raises:
        TypeError: `part` is not a pair of integers.
        ValueError: The rank is not below the world size, or is below 0.
    """
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise TypeError(f"part must be (rank, world size), got {shown(part)}")
    rank, size = (integer(f"part[{i}]", number) for i, number in enumerate(part))
    if not 0 <= rank < size:
        raise ValueError(f"part must be (rank, world size) with 0 <= rank < size, got {part}")
    return layout.blocks[rank::size]


def _shown(
    made: Iterator[int],
    missing: Sequence[int],
    layout: Layout,
    blocks: Sequence[int],
    progress: bool,
) -> Iterator[int]:
    """Yield the blocks that are made, and count their samples on a bar.

    Raises:
        ImportError: tqdm is not installed.
    """
    if not progress:
        yield from made
        return
    tqdm = imported("tqdm.auto", "progress=True", "progress").tqdm
    left = sum(map(layout.size_of, missing))
    total = sum(map(layout.size_of, blocks))
    with tqdm(total=total, initial=total - left, unit="sample") as bar:
        for block in made:
            yield block
            bar.update(layout.size_of(block))
