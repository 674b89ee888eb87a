"""The CUDA source of the kernels, and how their arguments are called and typed."""

from importlib.resources import files
from typing import NamedTuple

from schedalg.running.rows import COLUMNS

_ENUMERATION = f"""
namespace schedalg {{
enum Column {{ {", ".join(name.upper() for name in COLUMNS)}, COLUMNS }};
}}
"""

#: Functions of device code, templates over the type of the arrays.
SOURCE = _ENUMERATION + files("schedalg_cupy").joinpath("kernel.cu").read_text(encoding="utf-8")


class Signature(NamedTuple):
    """A function of the source, and the kernel around it.

    Attributes:
        name: The function's name.
        reads: The arguments that it reads, in CuPy's notation: T is the type of the arrays, R the
            type that they are computed in.
        writes: The arrays that it writes to, likewise. They come last.
    """

    name: str
    reads: str
    writes: str

    @property
    def operation(self) -> str:
        """What the kernel does for item i: one call of the function, with plain pointers."""
        given = [
            f"&{name}[0]" if kind == "raw" else name
            for kind, *_, name in map(str.split, f"{self.reads}, {self.writes}".split(", "))
        ]
        return f"schedalg::{self.name}<T>(i, {', '.join(given)})"


STEP = Signature(
    "step",
    "raw T x, raw T d, raw T output, raw T variance, raw T noise, raw uint64 keys, "
    "raw uint64 draws, raw R table, raw int64 row_at, bool each, int64 one_row, int64 count, "
    "int64 size, int64 d_apart, int64 output_apart, int64 variance_apart, int64 depth, "
    "bool clipped, bool unbounded, bool keyed, bool learned, bool scaled",
    "raw T after, raw T model_input, raw T ring",
)
NORMAL = Signature("normal", "raw uint64 keys, raw uint64 words, int64 count", "raw T after")
