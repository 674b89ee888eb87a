"""What a folder of samples holds: its recipe, its seeds and blocks, and the names of its files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from schedalg.bulk.files import TEMPORARY, write
from schedalg.bulk.recipe import Recipe, lines_of
from schedalg.bulk.seeds import largest_of, seeds_from_json, seeds_named, seeds_to_json
from schedalg.checks import check_version, parsed_json, positive_integer, shown
from schedalg.plotting.images import checked_range

RECIPE = "recipe.json"

#: So many digits of the recipe's fingerprint are in the name of each file.
DIGITS = 12

#: What the values of `recipe.json` are that are compared or looked up as they are.
KINDS: dict[str, Any] = {
    "fingerprint": str,
    "recipe": Mapping,
    "format": str,
    "model": str | None,
    "made_with": Mapping,
}


@dataclass(frozen=True)
class Layout:
    """A folder of samples, but for the machine that they are made on.

    Attributes:
        recipe: The recipe.
        seeds: The seeds, a range or a tuple.
        batch_size: How many seeds a block has; the last may have fewer.
        format: The name of the format.
        pixel_range: The numbers that become 0 and 255 in formats of bytes; None in others.
        model: The name of the network's factory; None if the network was passed itself.
    """

    recipe: Recipe
    seeds: Sequence[int]
    batch_size: int
    format: str
    pixel_range: tuple[float, float] | None
    model: str | None

    @cached_property
    def prefix(self) -> str:
        """What the names of all files with samples begin with."""
        return self.recipe.fingerprint[:DIGITS]

    @property
    def blocks(self) -> range:
        """The numbers of the blocks."""
        return range(-(-len(self.seeds) // self.batch_size))

    def seeds_of(self, block: int) -> list[int]:
        """Return the seeds of a block."""
        return list(self.seeds[block * self.batch_size : (block + 1) * self.batch_size])

    def size_of(self, block: int) -> int:
        """Return how many seeds a block has."""
        return min(self.batch_size, len(self.seeds) - block * self.batch_size)

    def block_name(self, block: int, suffix: str) -> str:
        """Return the name of the file of a block."""
        return f"{self.prefix}-{block:0{max(6, len(str(len(self.blocks) - 1)))}d}.{suffix}"

    def seed_name(self, seed: int, suffix: str) -> str:
        """Return the name of the file of one seed."""
        return f"{self.prefix}-{seed:0{self._seed_digits}d}.{suffix}"

    @cached_property
    def _seed_digits(self) -> int:
        return max(6, len(str(largest_of(self.seeds))))

    def to_dict(self) -> dict[str, Any]:
        """Return the layout for JSON."""
        return {
            "type": "schedalg.Samples",
            "version": 1,
            "fingerprint": self.recipe.fingerprint,
            "recipe": self.recipe.to_dict(),
            "seeds": seeds_to_json(self.seeds),
            "batch_size": self.batch_size,
            "format": self.format,
            "pixel_range": None if self.pixel_range is None else list(self.pixel_range),
            "model": self.model,
        }


def read_layout(folder: Path, samplers: Sequence[type[Any]] = ()) -> tuple[Layout, dict[str, str]]:
    """Return what a folder holds, and the versions and the device that it was made with.

    Raises:
        ValueError: The folder has no `recipe.json`, or one that is damaged or of a later version.
    """
    data = read_recipe_file(folder)
    if data is None:
        raise ValueError(f"out has no {RECIPE}: {folder} is not a folder of samples")
    recipe = Recipe.from_dict(data["recipe"], samplers)
    if recipe.fingerprint != data["fingerprint"]:
        raise ValueError(
            f"out: {RECIPE} in {folder} was changed: its recipe has the fingerprint "
            f"{recipe.fingerprint}, and it says {shown(data['fingerprint'])}"
        )
    span = data["pixel_range"]
    try:
        layout = Layout(
            recipe=recipe,
            seeds=seeds_from_json(data["seeds"]),
            batch_size=positive_integer("batch_size", data["batch_size"]),
            format=data["format"],
            pixel_range=None if span is None else checked_range(span),
            model=data["model"],
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"out: {folder / RECIPE} is damaged: {error}") from None
    return layout, dict(data["made_with"])


def read_recipe_file(folder: Path) -> dict[str, Any] | None:
    """Return what a folder's `recipe.json` holds; None if there is none.

    Raises:
        ValueError: It is damaged, or of a later version.
    """
    path = folder / RECIPE
    try:
        data = parsed_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"out: {path} is damaged: {error}") from None
    if not isinstance(data, Mapping):
        raise ValueError(f"out: {path} is not what generate writes")
    check_version(f"out: {path}", data, "schedalg.Samples", 1)
    keys = ("fingerprint", "recipe", "seeds", "batch_size", "format", "pixel_range", "model")
    if missing := [key for key in (*keys, "made_with") if key not in data]:
        raise ValueError(f"out: {path} lacks {missing}")
    for key, kind in KINDS.items():
        if not isinstance(data[key], kind):
            raise ValueError(f"out: {path} is damaged: its {key} is {shown(data[key])}")
    return dict(data)


def claim(folder: Path, layout: Layout, made_with: Mapping[str, str]) -> None:
    """Write a folder's `recipe.json`, or compare the one that is there.

    Of two calls at once, one writes it, and both compare.

    Raises:
        ValueError: The folder is of another recipe, of other seeds or blocks, or was made with
            another library or version.
    """
    wanted = {**layout.to_dict(), "made_with": dict(made_with)}
    found = read_recipe_file(folder)
    if found is None:
        try:
            write([(folder / RECIPE, [lines_of(wanted).encode()])], replace=False)
        except FileNotFoundError:  # a call that finished meanwhile removed what was begun
            if not (folder / RECIPE).exists():
                raise
        found = read_recipe_file(folder) or {}
    _check_same(folder, found, layout)
    for name, value in made_with.items():
        if found["made_with"].get(name) != value:
            raise ValueError(
                f"out: {folder} was made with {name} {found['made_with'].get(name)}, and here it "
                f"is {value}, which rounds or writes differently: use the same, or another folder"
            )


def check_owner(folder: Path, layout: Layout) -> None:
    """Raise if a folder is of something else than this layout.

    Raises:
        ValueError: It is of another recipe, of other seeds or blocks, or holds other files.
    """
    found = read_recipe_file(folder)
    if found is None:
        names = [path.name for path in sorted(folder.iterdir())]
        strange = [name for name in names if not name.startswith(TEMPORARY)]
        found = read_recipe_file(folder)  # which another process may have written meanwhile
    if found is None:
        if strange:
            raise ValueError(
                f"out: {folder} holds {strange[0]!r} and no {RECIPE}: use an empty folder, or a "
                "new one"
            )
        return
    _check_same(folder, found, layout)


def _check_same(folder: Path, found: Mapping[str, Any], layout: Layout) -> None:
    """Raise if what a folder's `recipe.json` holds is not this layout.

    Raises:
        ValueError: It is of another recipe, or of other seeds or blocks.
    """
    wanted = layout.to_dict()
    if found["fingerprint"] != wanted["fingerprint"]:
        differing = [
            key
            for key in wanted["recipe"]
            if json.dumps(found["recipe"].get(key)) != json.dumps(wanted["recipe"][key])
        ]
        raise ValueError(
            f"out: {folder} belongs to another recipe, with the fingerprint "
            f"{found['fingerprint']}; this one has {wanted['fingerprint']} (they differ in "
            f"{', '.join(differing)}): use another folder"
        )
    for name in ("batch_size", "seeds", "format", "pixel_range", "model"):
        if found[name] != wanted[name]:
            here, there = wanted[name], found[name]
            if name == "seeds":
                here, there = seeds_named(layout.seeds), seeds_named(seeds_from_json(there))
            raise ValueError(
                f"{name}: {folder} was begun with {name} {there}, and this call has {here}: use "
                "another folder"
            )
