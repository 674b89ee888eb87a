"""`verify`: whether a folder of samples is what its recipe says."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from schedalg.arrays import Array
from schedalg.bulk.files import TEMPORARY
from schedalg.bulk.folder import Folder
from schedalg.bulk.keywords import Keywords
from schedalg.bulk.layout import RECIPE, read_layout
from schedalg.bulk.making import Maker, Network
from schedalg.bulk.seeds import seeds_named
from schedalg.checks import checked_path, positive_integer
from schedalg.network.denoiser import AnyDenoiser
from schedalg.network.model import Model


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        fingerprint: That of the recipe.
        samples: How many samples the folder is to hold.
        files: How many files were read.
        remade: How many samples were made again.
        problems: What is wrong, a sentence each; empty if nothing is.

    Example:
        >>> from schedalg import Verification
        >>> Verification("3f…", 10, 3, 4, ()).ok
        True
    """

    fingerprint: str
    samples: int
    files: int
    remade: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(
    out: str | os.PathLike[str],
    model: Model | AnyDenoiser | str | None = None,
    *,
    blocks: int = 2,
    like: Array | None = None,
    cond: Keywords | str | None = None,
    uncond: Keywords | str | None = None,
    samplers: Sequence[type[Any]] = (),
) -> Verification:
    """Read every file of a folder that `generate` made, and make some samples again.

    Each file must have the recipe's fingerprint in its name, and hold the samples of its seeds:
    their number, shape and dtype, and no NaN or infinity. With the network, whole blocks are made
    again and compared with their files, byte for byte.

    Args:
        out: The folder.
        model: The network that made it, as `generate` takes it. None: nothing is made again.
        blocks: How many blocks are made again, spread over the folder.
        like: As in `generate`.
        cond: As in `generate`.
        uncond: As in `generate`.
        samplers: Classes of samplers of one's own, which the recipe may name.

    Returns:
        What was found. Samples that were made again on another machine, or with other versions, may
        differ by rounding: the problem then says by how much.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: The folder's `recipe.json` is missing or damaged, or names an unknown sampler.
        ImportError: A package that the format needs is not installed.
        Exception: What the network raises.

    Example:
        >>> import tempfile
        >>> from schedalg import DDIM, Recipe, Schedule, generate, verify
        >>> fast = Schedule.linear(1000).subsample(steps=5)
        >>> recipe = Recipe(schedule=fast, sampler=DDIM(), shape=(2,))
        >>> model = lambda x, timesteps: 0.1 * x
        >>> with tempfile.TemporaryDirectory() as out:
        ...     generate(recipe, model, range(10), out, batch_size=4)
        ...     found = verify(out, model)
        >>> found.ok, found.files, found.remade
        (True, 3, 6)
    """
    path = checked_path("out", out)
    wanted = positive_integer("blocks", blocks)
    layout, made_with = read_layout(path, samplers)
    folder = Folder(path, layout)
    folder.form.check(layout)
    maker = None if model is None else Maker(layout.recipe, Network(model, like, cond, uncond))
    problems = list(_of_names(folder))
    missing = set(folder.missing(layout.blocks))
    there = [block for block in layout.blocks if block not in missing]
    of_blocks = [each for block in there for each in _of_block(folder, block, made_with)]
    problems += of_blocks or _of_whole(folder)
    remade = 0
    if maker is not None:
        here = {**maker.made_with(), **folder.form.versions()}
        for block in sorted(set(np.linspace(0, len(layout.blocks) - 1, wanted).round().tolist())):
            if int(block) not in missing:
                problems += _of_remade(folder, int(block), maker, made_with, here)
                remade += layout.size_of(int(block))
    files = sum(1 for name in folder.form.final_names(layout) if (path / name).exists())
    return Verification(
        layout.recipe.fingerprint, len(layout.seeds), files, remade, tuple(problems)
    )


def _of_names(folder: Folder) -> Iterator[str]:
    """Yield what is wrong with the names of files."""
    layout, form = folder.layout, folder.form
    wanted = set(form.final_names(layout))
    there = {
        path.relative_to(folder.path).as_posix()
        for path in folder.path.rglob("*")
        if not path.is_dir()
    }
    blocks = folder.missing(layout.blocks)
    if blocks:
        seeds = seeds_named([seed for block in blocks[:3] for seed in layout.seeds_of(block)])
        yield (
            f"{len(blocks)} of {len(layout.blocks)} blocks are missing, the first of them with "
            f"seeds {seeds}: generate makes them when called again"
        )
    elif wanted - there:
        yield "the folder is not finished: generate does it when called again"
    if not wanted <= there:  # parts of what is made at the end
        wanted |= {name for block in layout.blocks for name in form.names(layout, block)}
    for name in sorted(there - wanted - {RECIPE}):
        if Path(name).name.startswith(TEMPORARY):
            yield f"{name} was begun by a call that was stopped"
        else:
            yield f"{name} is not of this recipe, whose files begin with {layout.prefix}"


def _of_block(folder: Folder, block: int, made_with: dict[str, str]) -> Iterator[str]:
    """Yield what is wrong with the files of a block."""
    layout, form = folder.layout, folder.form
    seeds = layout.seeds_of(block)
    try:
        samples = folder.form.read(folder.path, layout, block)
    except (ValueError, OSError) as error:
        yield f"block {block}: {error}"
        return
    kind = layout.recipe.dtype.replace("bfloat16", "float32")
    expected = folder.held(np.zeros((len(seeds), *layout.recipe.shape), dtype=kind))
    if samples.shape != expected.shape or samples.dtype != expected.dtype:
        yield (
            f"block {block} holds {samples.dtype} of shape {samples.shape}, not {expected.dtype} "
            f"of shape {expected.shape}"
        )
    elif samples.dtype.kind == "f" and not np.isfinite(samples).all():
        finite = np.isfinite(samples).reshape(len(seeds), -1).all(axis=1)
        wrong = [seeds[i] for i in np.flatnonzero(~finite)]
        yield f"block {block} holds NaN or infinity for seeds {seeds_named(wrong)}"
    elif all(made_with.get(name) == version for name, version in form.versions().items()):
        names = form.names(layout, block)
        for name, data in zip(names, form.encoded(layout, block, samples), strict=True):
            path = folder.path / name
            if path.exists() and path.read_bytes() != data:
                yield f"block {block}: {name} holds its samples, and other bytes than were written"


def _of_whole(folder: Folder) -> Iterator[str]:
    """Yield what is wrong with the file of all blocks, whose samples are right."""
    for name, pieces in folder.form.whole(folder.path, folder.layout):
        with (folder.path / name).open("rb") as file:
            if any(file.read(len(piece)) != piece for piece in pieces) or file.read(1):
                yield f"{name} is damaged: it holds other bytes than follow from its samples"


def _of_remade(
    folder: Folder, block: int, maker: Maker, then: dict[str, str], now: dict[str, str]
) -> Iterator[str]:
    """Yield what is wrong with a block that is made again."""
    seeds = folder.layout.seeds_of(block)
    made = folder.held(maker.block(seeds))
    try:
        there = folder.form.read(folder.path, folder.layout, block)
    except (ValueError, OSError):
        return  # which was said
    if (made.shape, made.dtype) != (there.shape, there.dtype) or made.tobytes() == there.tobytes():
        return
    difference = np.abs(made.astype(np.float64) - there.astype(np.float64))
    changed = difference.reshape(len(seeds), -1).max(axis=1) > 0
    wrong = [seeds[i] for i in np.flatnonzero(changed)]
    others = [
        f"{name} {then.get(name)}, now {value}"
        for name, value in now.items()
        if value != then.get(name)
    ]
    yield (
        f"block {block}: made again, seeds {seeds_named(wrong)} differ, by at most "
        f"{difference.max():.3g}" + (f" (made with {'; '.join(others)})" if others else "")
    )
