"""A schedule as the numbers of other libraries: betas, ᾱ, sigmas, log-SNRs."""

from typing import TYPE_CHECKING

from schedalg.arrays import Array, namespace
from schedalg.schedule import path

if TYPE_CHECKING:
    from schedalg.schedule.schedule import Schedule


def to_betas(schedule: "Schedule") -> Array:
    """Return β_k = 1 - ᾱ_k / ᾱ_{k-1}, with ᾱ_{-1} that of the origin: (N,).

    Raises:
        ValueError: The schedule is not variance preserving.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.linear(1000).subsample(steps=3).to_betas().round(4)
        array([0.6792, 0.9658, 0.9963])

    Source: Nichol and Dhariwal, arXiv 2102.09672, section 4; OpenAI's `SpacedDiffusion`.
    """
    _require_vp(schedule, "to_betas")
    return path.betas(namespace(schedule.log_alpha_bar.high), schedule.log_alpha_bar)


def to_alphas(schedule: "Schedule") -> Array:
    """Return 1 - β_k = ᾱ_k / ᾱ_{k-1}, exact also where β_k rounds to 1: (N,).

    Raises:
        ValueError: The schedule is not variance preserving.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_alphas_cumprod([0.5, 1e-20]).to_alphas()
        array([5.e-01, 2.e-20])
    """
    _require_vp(schedule, "to_alphas")
    return path.alphas(namespace(schedule.log_alpha_bar.high), schedule.log_alpha_bar)


def to_alphas_cumprod(schedule: "Schedule") -> Array:
    """Return ᾱ_k = alpha_k²: (N,).

    Raises:
        ValueError: The schedule is not variance preserving.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_betas([0.1, 0.5]).to_alphas_cumprod().round(12)
        array([0.9 , 0.45])
    """
    _require_vp(schedule, "to_alphas_cumprod")
    return path.alphas_cumprod(
        namespace(schedule.log_alpha_bar.high), path.inner(schedule.log_alpha_bar)
    )


def to_sigmas(schedule: "Schedule") -> Array:
    """Return sigma_k / alpha_k, the sigma of EDM and k-diffusion: (N,), `inf` at zero SNR.

    The attribute `sigma` is the noise scale of the path itself, which is the same where alpha
    is 1. On a flow it is t, which other libraries call sigma too.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_alphas_cumprod([0.8, 0.5]).to_sigmas().round(12)
        array([0.5, 1. ])
    """
    return path.noise_to_signal(
        namespace(schedule.log_alpha_bar.high), path.inner(schedule.log_alpha_bar)
    )


def to_log_snr(schedule: "Schedule") -> Array:
    """Return log(alpha_k² / sigma_k²): (N,), `-inf` at zero SNR.

    Example:
        >>> from schedalg import Schedule
        >>> Schedule.from_alphas_cumprod([0.8, 0.5]).to_log_snr().round(6)
        array([1.386294, 0.      ])
    """
    return path.log_snr(namespace(schedule.log_alpha_bar.high), path.inner(schedule.log_alpha_bar))


def _require_vp(schedule: "Schedule", operation: str) -> None:
    if schedule.kind != "vp":
        raise ValueError(
            f"{operation} needs a variance-preserving schedule, and this one is of kind "
            f"{schedule.kind!r}: call as_vp() first"
        )
