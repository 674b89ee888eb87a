"""`Maker`: makes the samples of a block of seeds, on the host, and says which seeds fail."""

import platform
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from schedalg.arrays import Array, device, has_values, is_array, namespace, to_host
from schedalg.bulk.factories import by_name, network_of
from schedalg.bulk.keywords import Keywords
from schedalg.bulk.recipe import Recipe
from schedalg.bulk.seeds import seeds_named
from schedalg.checks import check_callable, check_sample
from schedalg.network.denoiser import AnyDenoiser
from schedalg.network.model import Model


@dataclass(frozen=True)
class Network:
    """All that a sample follows from, apart from the recipe and the seed, as `generate` takes it.

    Attributes:
        model: The network, a denoiser, or the name of a factory.
        like: An array whose library and device the samples have; None: the factory's, or NumPy.
        cond: Keywords of the network, a function of seeds, or the name of such a function.
        uncond: The same without the condition.
        check_finite: Whether NaN and infinity are looked for.
    """

    model: "Model | AnyDenoiser | str"
    like: Array | None = None
    cond: Keywords | str | None = None
    uncond: Keywords | str | None = None
    check_finite: bool = True


class Maker:
    """Makes blocks of samples, with one network.

    Args:
        recipe: The recipe.
        network: The network and what goes with it.

    Raises:
        TypeError: The network is not callable.
        ValueError: A name is not found.
        Exception: What a factory raises.
    """

    def __init__(self, recipe: Recipe, network: Network) -> None:
        self.recipe = recipe
        self.model, like = network_of(network.model, network.like)
        named = isinstance(network.model, str)
        check_callable(f"what {network.model} returns" if named else "model", self.model)
        self.like = np.empty(0) if like is None else like
        check_sample("like", self.like)
        self.cond = by_name("cond", network.cond)
        self.uncond = by_name("uncond", network.uncond)
        self.check_finite = network.check_finite

    def made_with(self) -> dict[str, str]:
        """Return what the bytes of samples follow from, apart from recipe, network and seeds."""
        xp, place = namespace(self.like), device(self.like)
        library = xp.__name__.removeprefix("array_api_compat.").partition(".")[0]
        name = str(getattr(place, "platform", place)).partition(":")[0].lower()
        versions = {
            package: str(getattr(sys.modules[package], "__version__", "unknown"))
            for package in {"schedalg": 0, "numpy": 0, library: 0}
        }
        return {
            "library": library,
            "device": name,
            "machine": platform.machine(),
            **versions,
        }

    def block(self, seeds: list[int]) -> np.ndarray:
        """Return the samples of seeds, made in one batch, on the host; see `samples`."""
        return to_host(self.samples(seeds))

    def samples(self, seeds: list[int]) -> Array:
        """Return the samples of seeds, made in one batch.

        Raises:
            ValueError: The network returned NaN or infinity, or a sample became so.
            MemoryError: Memory ran out.
            Exception: What the network raises, with a note that names the seeds.
        """
        try:
            samples = self.recipe.sample(
                self._checked(seeds), seeds, like=self.like, cond=self.cond, uncond=self.uncond
            )
            if self.check_finite and (wrong := _not_finite(samples, seeds)):
                raise ValueError(
                    f"samples of seeds {wrong} became NaN or infinity, and no output of the "
                    f"network was so: {self.recipe.dtype} may have overflowed"
                )
            return samples
        except Exception as error:
            if _ran_out(error):
                half = len(seeds) // 2
                smaller = f"try batch_size={half}" if half else "a single sample is too large"
                raise MemoryError(
                    f"memory ran out in a block of {len(seeds)} seeds: {smaller}, in another "
                    "folder, since blocks of another size are rounded differently"
                ) from error
            error.add_note(f"while making the samples of seeds {seeds_named(seeds)}")
            raise

    def _checked(self, seeds: list[int]) -> Any:
        """Return the network, which then names the seeds whose outputs are not finite."""
        if not self.check_finite:
            return self.model
        check = FiniteRows(seeds)
        if isinstance(self.model, AnyDenoiser):
            return self.model.checked_by(check)
        return _watched(self.model, check)


def _watched(model: Model, check: "FiniteRows") -> Model:
    """Return the network, with each of its outputs passed to `check`."""

    def watched(x: Array, timesteps: Array, **keywords: Any) -> Any:
        output = model(x, timesteps, **keywords)
        check(output, timesteps)
        return output

    return watched


class FiniteRows:
    """Looks for NaN and infinity in every output of a network, and names the seeds of its rows.

    With guidance, an output has two rows for each seed: row i is of seed i modulo their number.
    """

    def __init__(self, seeds: list[int]) -> None:
        self.seeds = seeds
        self.calls = 0

    def __call__(self, output: Any, timestep: Any) -> None:
        """Raise if the output holds NaN or infinity. What is not an array is named by the caller.

        Raises:
            ValueError: It does.
        """
        if not is_array(output) or not has_values(output) or output.ndim == 0:
            return
        if seeds := _not_finite(output, self.seeds):
            at = float(to_host(timestep).reshape(-1)[0]) if is_array(timestep) else timestep
            raise ValueError(
                f"model returned NaN or infinity for seeds {seeds} in call {self.calls} (the first "
                f"is 0), at timestep {at:g}"
            )
        self.calls += 1


def _not_finite(values: Array, seeds: list[int]) -> str:
    """Return the seeds of rows that hold NaN or infinity, for a message; "" if none does.

    Args:
        values: Row i is of seed i modulo their number.
        seeds: The seeds.
    """
    xp = namespace(values)
    if bool(xp.all(xp.isfinite(values))):
        return ""
    finite = to_host(xp.isfinite(xp.reshape(values, (values.shape[0], -1)))).all(axis=1)
    wrong = sorted({int(row) % len(seeds) for row in np.flatnonzero(~finite)})
    return seeds_named([seeds[i] for i in wrong])


def _ran_out(error: BaseException) -> bool:
    """Whether an error says that a device or the host has no memory left."""
    name = type(error).__name__
    return (
        isinstance(error, MemoryError)
        or name == "OutOfMemoryError"  # torch, CuPy
        or "RESOURCE_EXHAUSTED" in str(error)  # JAX
    )
