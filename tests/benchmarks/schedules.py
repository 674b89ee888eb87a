"""Time schedules beside the usual code, and print ratios.

    python -m tests.benchmarks.schedules

from the root of the repository. Not part of the tests: times are noisy, and only ratios of times
taken together mean anything.
"""

import subprocess
import sys

import numpy as np

from schedalg import Schedule
from tests.benchmarks.timing import interleaved


class Process:
    """Every table that a diffusion process object usually derives from its betas."""

    def __init__(self, betas: np.ndarray) -> None:
        self.betas = betas = np.array(betas, dtype=np.float64)
        if betas.ndim != 1 or not ((betas > 0).all() and (betas <= 1).all()):
            raise ValueError("betas must be 1-D and in (0, 1]")
        alphas = 1.0 - betas
        self.alphas_cumprod = np.cumprod(alphas)
        before = np.append(1.0, self.alphas_cumprod[:-1])
        self.alphas_cumprod_next = np.append(self.alphas_cumprod[1:], 0.0)
        self.sqrt_alphas_cumprod = np.sqrt(self.alphas_cumprod)
        self.sqrt_one_minus = np.sqrt(1.0 - self.alphas_cumprod)
        self.log_one_minus = np.log(1.0 - self.alphas_cumprod)
        self.sqrt_recip = np.sqrt(1.0 / self.alphas_cumprod)
        self.sqrt_recip_m1 = np.sqrt(1.0 / self.alphas_cumprod - 1)
        self.variance = betas * (1.0 - before) / (1.0 - self.alphas_cumprod)
        self.log_variance = np.log(np.append(self.variance[1], self.variance[1:]))
        self.coef1 = betas * np.sqrt(before) / (1.0 - self.alphas_cumprod)
        self.coef2 = (1.0 - before) * np.sqrt(alphas) / (1.0 - self.alphas_cumprod)


def spaced_process() -> Process:
    """Build the full process, walk its timesteps, and build the short one, as SpacedDiffusion."""
    full = Process(np.linspace(1e-4, 0.02, 1000))
    use = set(range(0, 1000, 10))
    betas, timestep_map, last = [], [], 1.0
    for t, alpha_cumprod in enumerate(full.alphas_cumprod):
        if t in use:
            betas.append(1 - alpha_cumprod / last)
            last = alpha_cumprod
            timestep_map.append(t)
    return Process(np.array(betas))


def respaced_schedule() -> Schedule:
    """Build the same with schedalg."""
    return Schedule.linear(1000).subsample(every=10)


def respaced_tables() -> tuple[np.ndarray, ...]:
    """Build it, and export everything that the process object holds."""
    s = respaced_schedule()
    return (
        s.to_betas(),
        s.to_alphas_cumprod(),
        s.alpha,
        s.to_sigmas(),
        s.to_log_snr(),
        s.posterior_variance,
        s.posterior_log_variance_clipped,
        s.posterior_mean_coef1,
        s.posterior_mean_coef2,
    )


def export(n: int) -> np.ndarray:
    """Subsample a schedule of n steps and export it."""
    betas: np.ndarray = Schedule.linear(n, 1e-6, 1e-5).subsample(every=10).to_betas()
    return betas


def import_seconds(code: str) -> float:
    """Return the seconds that a new interpreter takes to run the code, numpy being imported."""
    timed = f"import time, numpy; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
    result = subprocess.run(
        [sys.executable, "-c", timed], capture_output=True, text=True, check=True
    )
    return float(result.stdout)


def main() -> None:
    """Print every ratio."""
    interleaved(spaced_process, respaced_schedule, respaced_tables, blocks=5)
    loop, schedule, tables = interleaved(spaced_process, respaced_schedule, respaced_tables)
    print(
        f"Schedule.linear(1000).subsample(every=10) / SpacedDiffusion's loop: {schedule / loop:.2f}"
    )
    print(f"... with nine tables exported               / the same loop: {tables / loop:.2f}")
    small, large = interleaved(
        lambda: export(100_000), lambda: export(1_000_000), blocks=5, calls=2
    )
    print(
        f"1,000,000 steps subsampled and exported / 100,000 steps: {large / small:.1f} (linear: 10)"
    )
    added = sorted(import_seconds("import schedalg") for _ in range(9))[4]
    print(f"import schedalg after numpy: {1000 * added:.0f} ms (median of 9)")


if __name__ == "__main__":
    main()
