"""Inpainting: a denoiser that knows part of x0."""

import numpy as np

from schedalg.arrays import (
    Array,
    device,
    has_values,
    is_array,
    is_real_floating,
    namespace,
    real_dtype,
    to_host,
)
from schedalg.checks import check_readable, described
from schedalg.network.denoiser import (
    AnyDenoiser,
    Denoiser,
    DerivedDenoiser,
    InnerDenoiser,
    check_denoiser,
)
from schedalg.schedule import Point


def inpaint(denoiser: AnyDenoiser, known: Array, mask: Array) -> DerivedDenoiser:
    """Return the denoiser with part of x0 known: mask known + (1 - mask) x0.

    Where the mask is 1, the sample ends at the known data. To make the rest agree better with it,
    use the sampler `RePaint`.

    Args:
        denoiser: The denoiser.
        known: Clean data, of a shape that broadcasts to that of x. Values where the mask is 0 are
            ignored.
        mask: Of a shape that broadcasts to that of x: 1 where x0 is known, 0 where it is not;
            values between 0 and 1 interpolate. One that JAX traces is not looked at.

    Raises:
        TypeError: An argument is of the wrong type, or of another library than x when called.
        ValueError: When called, a shape does not fit x.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Denoiser, Schedule, inpaint, sample
        >>> s = Schedule.linear(1000).subsample(steps=5)
        >>> network = Denoiser(lambda x, timesteps: 0 * x, s, "x0")
        >>> half = inpaint(network, np.array([[0.5, 0.0]]), np.array([[1.0, 0.0]]))
        >>> sample(half, s, DDIM(), np.ones((1, 2)))
        array([[0.5, 0. ]])

    Source: Lugmayr et al., arXiv 2201.09865, equation 8, with x0 in place of x.
    """
    check_denoiser("denoiser", denoiser)
    for name, value in (("known", known), ("mask", mask)):
        if not is_array(value):
            raise TypeError(f"{name} must be an array, got {type(value).__name__}")
        check_readable(name, value)
        if not is_real_floating(value) and not _is_integral(value):
            raise TypeError(f"{name} must hold real numbers, got {described(value)}")
    if has_values(mask):
        _check_shares(mask)

    def filled(x: Array, t: Point, inner: InnerDenoiser) -> Array:
        x0, xp = inner(x, t), namespace(x, known, mask)
        for name, value in (("known", known), ("mask", mask)):
            if not _broadcasts(tuple(value.shape), tuple(x.shape)):
                raise ValueError(
                    f"{name} must be of a shape that broadcasts to x's, {tuple(x.shape)}; got "
                    f"{tuple(value.shape)}"
                )
        share, given = xp.astype(mask, x.dtype, copy=False), xp.astype(known, x.dtype, copy=False)
        # `where` in addition to the product: `known` may be NaN where the mask is 0.
        return share * xp.where(share > 0, given, x0) + (1 - share) * x0

    return Denoiser.from_function(filled, denoiser.schedule, denoiser)


def _is_integral(array: Array) -> bool:
    """Whether an array holds integers or booleans."""
    if has_values(array):
        return to_host(array).dtype.kind in "biu"
    return bool(namespace(array).isdtype(array.dtype, ("bool", "integral")))


def _check_shares(mask: Array) -> None:
    """Raise unless all of a mask is from 0 to 1.

    Raises:
        ValueError: A number is not, which is named.
    """
    with np.errstate(over="ignore"):  # a long double, to infinity
        shares = to_host(namespace(mask).astype(mask, real_dtype(namespace(mask), device(mask))))
    outside = ~((shares >= 0) & (shares <= 1))
    if outside.any():
        index = np.unravel_index(int(np.argmax(outside)), shares.shape)
        place = f"mask[{', '.join(map(str, index))}]" if index else "mask"
        raise ValueError(f"{place} is {float(shares[index])!r}: it must be from 0 to 1 everywhere")


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Whether an array of one shape can be stretched to another."""
    return len(shape) <= len(to) and all(
        size in (1, other) for size, other in zip(shape[::-1], to[::-1], strict=False)
    )
