"""How a sample lies in memory: everything is done on flat views, whatever the order of the axes."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from schedalg_torch.modes import kept


@dataclass(frozen=True)
class Layout:
    """An order of axes in which samples lie one after the other, without holes.

    Attributes:
        shape: (B, ...), as users see it.
        channels_last: Whether axis 1 is the innermost. Otherwise the order is that of the axes.
    """

    shape: torch.Size
    channels_last: bool

    @staticmethod
    def of(x: Tensor) -> "Layout":
        """Return the layout in which x can be taken as it is, or else the order of its axes."""
        if x.is_contiguous() or x.ndim < 3:
            return _layout(x.shape, False)
        return _layout(x.shape, x.movedim(1, -1).is_contiguous())

    @property
    def channels(self) -> int:
        """How many channels lie next to one another in memory: 1 unless they are innermost."""
        return self.shape[1] if self.channels_last else 1

    def holds(self, x: Tensor) -> bool:
        """Whether x lies in this order without holes, its numbers as they are."""
        if self.channels_last:
            x = x.movedim(1, -1)
        return x.is_contiguous() and not x.is_neg()

    def flat(self, x: Tensor) -> Tensor:
        """Return a 1-D view in the order of memory; of a copy, if x does not lie so."""
        if x.is_neg():
            x = x.resolve_neg()
        if self.channels_last:
            x = x.movedim(1, -1)
        # Not `reshape`, which returns a view with holes where x is every second number of another.
        return x.contiguous().view(-1)

    def ordered(self, x: Tensor) -> Tensor:
        """Return x with its numbers as they are, in this order without holes; a copy if need be."""
        if self.channels_last:
            x = x.movedim(1, -1)
        if x.is_contiguous() and not x.is_neg():
            return x
        return x.resolve_neg().contiguous()

    def batched(self, x: Tensor) -> Tensor:
        """Return x as (B, elements), the elements of each sample lying in order; a view if it can.

        The samples may be apart: the first half of the channels of a wider tensor is not copied.
        """
        x = x.resolve_neg()
        if self.channels_last:
            x = x.movedim(1, -1)
        if not x[:1].is_contiguous():
            x = x.contiguous()
        return x.flatten(1) if x.ndim > 1 else x[:, None]

    def samples(self, x: Tensor) -> tuple[Tensor, int]:
        """Return x, a view or a copy, and the distance from one sample to the next, in elements.

        The elements of a sample lie in order, without holes.
        """
        format = torch.channels_last if self.channels_last else torch.contiguous_format
        plain = not self.channels_last or x.ndim == 4
        if plain and x.is_contiguous(memory_format=format) and not x.is_neg():
            return x, x.numel() // max(x.shape[0], 1)
        x = self.batched(x)
        return x, x.stride(0)

    def shaped(self, flat: Tensor) -> Tensor:
        """Return a flat tensor in its shape, as a view."""
        if not self.channels_last:
            return flat.view(*self.shape)
        batch, channels, *places = self.shape
        return flat.view(batch, *places, channels).movedim(-1, 1)

    def empty(self, like: Tensor) -> Tensor:
        """Return new memory for x, in its shape: no view, and good outside inference mode too.

        Args:
            like: Any tensor of its dtype and device.
        """
        with lasting():
            return self.empties(like.dtype, like.device, 1)[0]

    def empties(self, dtype: torch.dtype, device: torch.device, count: int) -> list[Tensor]:
        """Return so many, in less time than one by one; in inference mode, they are of it."""
        if not self.channels_last:
            template = _template(self.shape, dtype, device)
            return [torch.empty_like(template) for _ in range(count)]
        strides, apart = [0] * len(self.shape), 1
        for axis in (1, *range(len(self.shape) - 1, 1, -1), 0):
            strides[axis] = apart
            apart *= max(self.shape[axis], 1)
        return [
            torch.empty_strided(self.shape, strides, dtype=dtype, device=device)
            for _ in range(count)
        ]


@lru_cache(256)
def _layout(shape: torch.Size, channels_last: bool) -> Layout:
    """Return a layout: making one takes longer than finding it."""
    return Layout(shape, channels_last)


def lasting() -> AbstractContextManager[object]:
    """Return a context in which torch makes tensors that are good outside inference mode too."""
    return torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext()


def allocated(like: Tensor, sizes: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
    """Return an empty tensor, by default in like's dtype; never one of inference mode."""
    template = _template(sizes, dtype or like.dtype, like.device)
    with lasting():
        return torch.empty_like(template)


@kept
def _template(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return one element in a shape: torch makes memory like it faster than of a shape."""
    with torch.inference_mode(False):
        return torch.empty(1, dtype=dtype, device=device).expand(shape)
