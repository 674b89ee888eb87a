"""`Folder`: a folder of samples that is being made: what is there, and what is missing."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schedalg.bulk.files import TEMPORARY, remove_temporary, sync_folder, write
from schedalg.bulk.formats import Format, format_named
from schedalg.bulk.layout import Layout, check_owner, claim
from schedalg.plotting.images import pixels

#: So often a block is written, where other calls remove what was begun of it.
TRIES = 3


@dataclass(frozen=True)
class Folder:
    """A folder, and what it is to hold.

    Attributes:
        path: The folder.
        layout: What it is to hold.
    """

    path: Path
    layout: Layout

    @property
    def form(self) -> Format:
        """How samples lie in it."""
        return format_named(self.layout.format)

    def open(self) -> None:
        """Make the folder if it does not exist, and see whose it is.

        Raises:
            OSError: It cannot be made.
            ValueError: It is of something else.
        """
        if self.path.is_file():
            raise ValueError(f"out must be the path of a folder, and {self.path} is a file")
        self.path.mkdir(parents=True, exist_ok=True)
        sync_folder(self.path.absolute().parent)
        check_owner(self.path, self.layout)

    def claim(self, made_with: Mapping[str, str]) -> None:
        """Write `recipe.json`, or compare the one that is there.

        Raises:
            ValueError: The folder is of something else, or was made with another version.
        """
        claim(self.path, self.layout, {**made_with, **self.form.versions()})
        sync_folder(self.path)

    def missing(self, blocks: Iterable[int]) -> list[int]:
        """Return those of the blocks that are not there."""
        if self.form.is_whole(self.path, self.layout):
            return []
        names = {block: self.form.names(self.layout, block) for block in blocks}
        places = {name.rpartition("/")[0] for each in names.values() for name in each}
        there = {name for place in places for name in _files_in(self.path, place)}
        return [block for block, each in names.items() if not there.issuperset(each)]

    def remove_begun(self, blocks: Iterable[int]) -> None:
        """Remove what a process that was stopped had begun of these blocks."""
        names = [name for block in blocks for name in self.form.names(self.layout, block)]
        for place in {Path(name).parent for name in names}:
            if (self.path / place).exists():
                remove_temporary(self.path / place, [Path(name).name for name in names])

    def deliver(self, block: int, samples: np.ndarray) -> None:
        """Write the samples of a block.

        Raises:
            OSError: There is no room, or another fault.
        """
        left = TRIES
        while left:
            left -= 1
            try:
                self._write(block, samples)
                left = 0
            except FileNotFoundError:  # another call began or finished, and removed what was begun
                if not self.missing([block]):
                    left = 0
                elif not left:
                    raise

    def _write(self, block: int, samples: np.ndarray) -> None:
        names = self.form.names(self.layout, block)
        place = (self.path / names[0]).parent
        if place != self.path and not place.exists():
            place.mkdir(exist_ok=True)
            sync_folder(self.path)
        held = self.form.encoded(self.layout, block, self.held(samples))
        write((self.path / name, [data]) for name, data in zip(names, held, strict=True))
        sync_folder(place)

    def held(self, samples: np.ndarray) -> np.ndarray:
        """Return samples as the format holds them: as they are, or as bytes."""
        span = self.layout.pixel_range
        return samples if span is None else pixels(samples, span)

    def finish(self) -> bool:
        """Do what is left where all blocks are there; return whether the folder is whole."""
        if self.missing(self.layout.blocks):
            return False
        self.form.finish(self.path, self.layout)
        for path in self.path.glob(f"{TEMPORARY}*"):
            path.unlink(missing_ok=True)
        sync_folder(self.path)
        return True


def _files_in(folder: Path, place: str) -> Iterator[str]:
    """Yield the names of the files in a part of a folder; links count as what they lead to."""
    try:
        with os.scandir(folder / place) as entries:
            for entry in entries:
                if entry.is_file():
                    yield f"{place}/{entry.name}" if place else entry.name
    except FileNotFoundError:
        return
