"""The formats of folders of samples: which files a block becomes, byte for byte, and back."""

import io
import math
import shutil
import struct
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from schedalg.bulk.files import sync_folder, write
from schedalg.bulk.layout import Layout
from schedalg.bulk.numpy_files import archived, header, npy, read_npy, reading
from schedalg.bulk.seeds import largest_of
from schedalg.checks import shown
from schedalg.plotting.images import channels_first
from schedalg.plugins import imported

#: Bytes of the record that a `.npz` ends with, the first of which are always the same.
_END = 22

#: Where an entry of a `.npz` has two lengths: of its name, and of what follows before the data.
_LENGTHS = 26


class Format(ABC):
    """How samples lie in a folder. A block is there when all of its files are."""

    #: Whether the samples are images, as bytes.
    of_bytes = False

    def check(self, layout: Layout) -> None:  # noqa: B027  # most can write anything
        """Raise if samples of this shape or these seeds cannot be written.

        Raises:
            ValueError: They cannot.
            ImportError: A package is missing.
        """

    def versions(self) -> dict[str, str]:
        """Return the packages that the bytes follow from, and their versions."""
        return {}

    @abstractmethod
    def names(self, layout: Layout, block: int) -> list[str]:
        """Return the names of the files of a block, in the folder."""

    @abstractmethod
    def encoded(self, layout: Layout, block: int, samples: np.ndarray) -> Iterator[bytes]:
        """Yield what each file of a block holds, in the order of `names`."""

    @abstractmethod
    def read(self, folder: Path, layout: Layout, block: int) -> np.ndarray:
        """Return the samples of a block, as they were written.

        Raises:
            OSError: A file is missing or cannot be read.
            ValueError: A file is damaged.
            MemoryError: There is no memory for the samples.
        """

    def whole(self, folder: Path, layout: Layout) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield the files that are made when all blocks are there, and anew what they hold."""
        yield from ()

    def is_whole(self, folder: Path, layout: Layout) -> bool:
        """Whether there is nothing left to do, whatever blocks there are."""
        return False

    def finish(self, folder: Path, layout: Layout) -> None:  # noqa: B027  # most have no more to do
        """Do what is to be done when all blocks are there."""

    def final_names(self, layout: Layout) -> Iterator[str]:
        """Yield the names of all files of a folder that is whole, but `recipe.json`."""
        for block in layout.blocks:
            yield from self.names(layout, block)


class Shards(Format):
    """A `.npy` file for each block, in the dtype of the recipe (bfloat16 as float32)."""

    def names(self, layout: Layout, block: int) -> list[str]:
        """Return the name of its file."""
        return [layout.block_name(block, "npy")]

    def encoded(self, layout: Layout, block: int, samples: np.ndarray) -> Iterator[bytes]:
        """Yield what its file holds."""
        yield npy(samples)

    def read(self, folder: Path, layout: Layout, block: int) -> np.ndarray:
        """Return the samples of a block, as they were written."""
        return read_npy(folder / self.names(layout, block)[0])


class Parquet(Format):
    """A Parquet file for each block: a column `seed`, and `sample`, a tensor of fixed shape."""

    def check(self, layout: Layout) -> None:
        """Raise if samples of this shape or these seeds cannot be written."""
        _pyarrow("pyarrow")
        largest = largest_of(layout.seeds)
        if largest >= 2**64:
            raise ValueError(
                f"seeds hold {largest}, and format 'parquet' has a column of 64 bits for them: use "
                "seeds below 2^64"
            )

    def versions(self) -> dict[str, str]:
        """Return the version of the package that the bytes follow from."""
        return {"pyarrow": str(_pyarrow("pyarrow").__version__)}

    def names(self, layout: Layout, block: int) -> list[str]:
        """Return the name of its file."""
        return [layout.block_name(block, "parquet")]

    def encoded(self, layout: Layout, block: int, samples: np.ndarray) -> Iterator[bytes]:
        """Yield what its file holds."""
        arrow, parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
        seeds = np.array(layout.seeds_of(block), dtype=np.uint64)
        kind = arrow.fixed_shape_tensor(arrow.from_numpy_dtype(samples.dtype), samples.shape[1:])
        flat = arrow.FixedSizeListArray.from_arrays(
            arrow.array(samples.reshape(-1)), samples[0].size
        )
        column = arrow.ExtensionArray.from_storage(kind, flat)
        table = arrow.table({"seed": arrow.array(seeds), "sample": column})
        file = io.BytesIO()
        parquet.write_table(
            table, file, row_group_size=len(seeds), compression="none", use_dictionary=False
        )
        yield file.getvalue()

    def read(self, folder: Path, layout: Layout, block: int) -> np.ndarray:
        """Return the samples of a block, as they were written."""
        parquet, path = _pyarrow("pyarrow.parquet"), folder / self.names(layout, block)[0]
        with reading(path):
            table = parquet.read_table(path, partitioning=None)
            seeds = table["seed"].to_pylist()
            samples: np.ndarray = table["sample"].combine_chunks().to_numpy_ndarray()
        if seeds != layout.seeds_of(block):
            raise ValueError(f"{path.name} has other seeds than block {block} has")
        return samples


class Images(Format):
    """A PNG file for each seed."""

    of_bytes = True

    def check(self, layout: Layout) -> None:
        """Raise if samples of this shape or these seeds cannot be written."""
        _check_images(layout)
        _pillow()

    def versions(self) -> dict[str, str]:
        """Return the version of the package that the bytes follow from."""
        return {"pillow": str(imported("PIL", 'format="png"', "images").__version__)}

    def names(self, layout: Layout, block: int) -> list[str]:
        """Return the names of its files, one a seed."""
        return [layout.seed_name(seed, "png") for seed in layout.seeds_of(block)]

    def encoded(self, layout: Layout, block: int, samples: np.ndarray) -> Iterator[bytes]:
        """Yield what its file holds."""
        image = _pillow()
        for picture in samples:
            file = io.BytesIO()
            drawn = picture[..., 0] if picture.shape[-1] == 1 else picture
            image.fromarray(drawn).save(file, format="PNG")
            yield file.getvalue()

    def read(self, folder: Path, layout: Layout, block: int) -> np.ndarray:
        """Return the samples of a block, as they were written."""
        image, pictures = _pillow(), []
        for name in self.names(layout, block):
            with reading(folder / name), image.open(folder / name) as file:
                pictures.append(np.asarray(file))
        samples = np.stack(pictures)
        return samples[..., None] if samples.ndim == 3 else samples


class Evaluated(Format):
    """The `.npz` of ADM's evaluator: `arr_0`, (N, height, width, channels), bytes.

    Blocks are `.npy` files in a folder `parts` until all are there, and then one file.
    """

    of_bytes = True
    PARTS = "parts"

    def check(self, layout: Layout) -> None:
        """Raise if samples of this shape or these seeds cannot be written."""
        _check_images(layout)

    def names(self, layout: Layout, block: int) -> list[str]:
        """Return the name of its file."""
        return [f"{self.PARTS}/{layout.block_name(block, 'npy')}"]

    def encoded(self, layout: Layout, block: int, samples: np.ndarray) -> Iterator[bytes]:
        """Yield what its file holds."""
        yield npy(samples)

    def read(self, folder: Path, layout: Layout, block: int) -> np.ndarray:
        """Return the samples of a block, as they were written."""
        if not self.is_whole(folder, layout):
            return read_npy(folder / self.names(layout, block)[0])
        path, seeds = folder / self._name(layout), layout.size_of(block)
        with reading(path), path.open("rb") as file, zipfile.ZipFile(file) as archive:
            entry = archive.getinfo("arr_0.npy")
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise ValueError("arr_0 is compressed or encrypted")
            # Read from the file itself, where the archive would read all that lies before.
            file.seek(entry.header_offset + _LENGTHS)
            file.seek(sum(struct.unpack("<HH", file.read(4))), io.SEEK_CUR)
            shape, dtype = header(file)
            size = math.prod(shape[1:]) * dtype.itemsize
            if shape[:1] != (len(layout.seeds),) or shape[0] * size > path.stat().st_size:
                raise ValueError(f"it says that it has samples of shape {shape}")
            file.seek(block * layout.batch_size * size, io.SEEK_CUR)
            samples = np.frombuffer(file.read(seeds * size), dtype).reshape(seeds, *shape[1:])
            file.seek(-_END, io.SEEK_END)
            if file.read(4) != b"PK\5\6":
                raise ValueError("it goes on after its end")
            return samples

    def whole(self, folder: Path, layout: Layout) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield the one file, and what it holds, made of the samples that are in it."""
        if self.is_whole(folder, layout):
            blocks = (self.read(folder, layout, block) for block in layout.blocks)
            yield self._name(layout), archived(blocks, len(layout.seeds))

    def is_whole(self, folder: Path, layout: Layout) -> bool:
        """Whether the one file is there."""
        return (folder / self._name(layout)).exists()

    def finish(self, folder: Path, layout: Layout) -> None:
        """Make the one file of all parts, and remove them."""
        parts = [folder / self.names(layout, block)[0] for block in layout.blocks]
        path = folder / self._name(layout)
        if not path.exists():
            try:
                write([(path, archived(map(read_npy, parts), len(layout.seeds)))])
            except FileNotFoundError:  # another process was faster, and has removed the parts
                if not path.exists():
                    raise
            sync_folder(folder)  # it is there before the parts are not
        for part in parts:
            part.unlink(missing_ok=True)
        shutil.rmtree(folder / self.PARTS, ignore_errors=True)

    def final_names(self, layout: Layout) -> Iterator[str]:
        """Yield the name of the one file."""
        yield self._name(layout)

    def _name(self, layout: Layout) -> str:
        return f"{layout.prefix}.npz"


FORMATS: dict[str, Format] = {
    "npy": Shards(),
    "parquet": Parquet(),
    "npz": Evaluated(),
    "png": Images(),
}


def format_named(name: Any) -> Format:
    """Return the format of a name.

    Raises:
        ValueError: There is none.
    """
    if not isinstance(name, str) or name not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}; got {shown(name)}")
    return FORMATS[name]


def _pyarrow(module: str) -> Any:
    return imported(module, 'format="parquet"', "parquet")


def _check_images(layout: Layout) -> None:
    """Raise if the samples are not images.

    Raises:
        ValueError: They are not images.
    """
    instead = ': use format="npy" or "parquet"'
    channels_first(layout.recipe.shape, "shape of the recipe", instead)


def _pillow() -> Any:
    return imported("PIL.Image", 'format="png"', "images")
