"""The schedules again, straight from their definitions, in 60-digit arithmetic.

Each function returns ᾱ at every point of a schedule as mpmath numbers. Nothing here knows how
schedalg computes: sums are sums, and 1 - ᾱ is 1 - ᾱ.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

from mpmath import mp, mpf

mp.dps = 60

Numbers = list[mpf]
#: What runs on a straight line between two points of a schedule.
Line: TypeAlias = Literal["log_snr", "sigma", "t"]


def from_betas(betas: Iterable[mpf]) -> Numbers:
    product, out = mpf(1), []
    for beta in betas:
        product *= 1 - mpf(beta)
        out.append(product)
    return out


def from_sigmas(sigmas: Iterable[mpf]) -> Numbers:
    return [1 / (1 + mpf(sigma) ** 2) for sigma in sigmas]


def from_log_snr(log_snr: Iterable[float]) -> Numbers:
    return [1 / (1 + mp.exp(-mpf(value))) if mp.isfinite(value) else mpf(0) for value in log_snr]


def from_flow_times(times: Iterable[mpf]) -> Numbers:
    return [(1 - t) ** 2 / ((1 - t) ** 2 + t**2) for t in times]


def evenly(start: mpf, end: mpf, n: int) -> Numbers:
    start, end = mpf(start), mpf(end)
    return [start + (end - start) * i / max(n - 1, 1) for i in range(n)]


def linear(n: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Numbers:
    return from_betas(evenly(mpf(beta_start), mpf(beta_end), n))


def scaled_linear(n: int, beta_start: float = 0.00085, beta_end: float = 0.012) -> Numbers:
    return from_betas(
        root**2 for root in evenly(mp.sqrt(mpf(beta_start)), mp.sqrt(mpf(beta_end)), n)
    )


def sigmoid(n: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Numbers:
    low, high = mpf(beta_start), mpf(beta_end)
    return from_betas(low + (high - low) / (1 + mp.exp(-x)) for x in evenly(mpf(-6), mpf(6), n))


def from_alpha_bar(alpha_bar: Callable[[mpf], mpf], n: int, max_beta: float = 0.999) -> Numbers:
    values = [alpha_bar(mpf(i) / n) for i in range(n + 1)]
    return from_betas(min(1 - values[i + 1] / values[i], mpf(max_beta)) for i in range(n))


def cosine(n: int, s: float = 0.008, max_beta: float = 0.999) -> Numbers:
    def alpha_bar(t: mpf) -> mpf:
        return mp.cos((t + mpf(s)) / (1 + mpf(s)) * mp.pi / 2) ** 2

    return from_alpha_bar(alpha_bar, n, max_beta)


def laplace(n: int, max_beta: float = 0.999) -> Numbers:
    def alpha_bar(t: mpf) -> mpf:
        half = mpf(1) / 2
        sign = 1 if t <= half else -1
        snr = mp.exp(-half * sign * mp.log(1 - 2 * abs(half - t) + mpf(1e-6)))
        return mp.sqrt(snr / (1 + snr))

    return from_alpha_bar(alpha_bar, n, max_beta)


def exp(n: int, max_beta: float = 0.999) -> Numbers:
    return from_alpha_bar(lambda t: mp.exp(-12 * t), n, max_beta)


def karras(n: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> Numbers:
    low, high = (mpf(sigma) ** (1 / mpf(rho)) for sigma in (sigma_min, sigma_max))
    return from_sigmas(root ** mpf(rho) for root in (evenly(low, high, n) if n > 1 else [high]))


def polyexponential(
    n: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 1.0
) -> Numbers:
    low, high = mp.log(mpf(sigma_min)), mp.log(mpf(sigma_max))
    ramp = evenly(mpf(0), mpf(1), n) if n > 1 else [mpf(1)]
    return from_sigmas(mp.exp(low + u ** mpf(rho) * (high - low)) for u in ramp)


def flow(n: int, shift: float = 1.0) -> Numbers:
    out = []
    for i in range(1, n + 1):
        t = mpf(i) / n
        t = mpf(shift) * t / (1 + (mpf(shift) - 1) * t)
        out.append((1 - t) ** 2 / ((1 - t) ** 2 + t**2))
    return out


def shift(alphas_cumprod: Sequence[mpf], factor: float) -> Numbers:
    return [a / (a + mpf(factor) ** 2 * (1 - a)) for a in alphas_cumprod]


def rescale_zero_terminal_snr(alphas_cumprod: Sequence[mpf]) -> Numbers:
    roots = [mp.sqrt(a) for a in alphas_cumprod]
    first, last = roots[0], roots[-1]
    return [((root - last) * first / (first - last)) ** 2 for root in roots]


def refine(alphas_cumprod: Sequence[mpf], k: int, line: Line) -> Numbers:
    out = []
    for s, t in pairwise(alphas_cumprod):
        low, high = _on_line(s, line), _on_line(t, line)
        inner = (low + (high - low) * j / k for j in range(1, k))
        out += [s, *(_off_line(value, line) for value in inner)]
    return [*out, alphas_cumprod[-1]]


def spaced(alphas_cumprod: Sequence[mpf], n: int, rho: int) -> Numbers:
    """N points between the first and the last, even in sigma^(1/rho), or in log-SNR if rho is 0."""
    low, high = (_on_line(alphas_cumprod[k], "log_snr") for k in (0, -1))
    if rho == 0:
        return [_off_line(value, "log_snr") for value in evenly(low, high, n)]
    roots = evenly(mp.exp(-low / (2 * rho)), mp.exp(-high / (2 * rho)), n)
    return [_off_line(-2 * rho * mp.log(root), "log_snr") for root in roots]


def _on_line(a: mpf, line: Line) -> mpf:
    if line == "log_snr":
        return mp.log(a / (1 - a))
    if line == "sigma":
        return mp.sqrt((1 - a) / a)
    return mp.sqrt(1 - a) / (mp.sqrt(a) + mp.sqrt(1 - a))


def _off_line(value: mpf, line: Line) -> mpf:
    if line == "log_snr":
        return 1 / (1 + mp.exp(-value))
    if line == "sigma":
        return 1 / (1 + value**2)
    return (1 - value) ** 2 / ((1 - value) ** 2 + value**2)


def betas(alphas_cumprod: Sequence[mpf], kept: Iterable[int]) -> Numbers:
    """The betas of the schedule that visits only the kept points."""
    before, out = mpf(1), []
    for k in kept:
        out.append(1 - alphas_cumprod[k] / before)
        before = alphas_cumprod[k]
    return out
