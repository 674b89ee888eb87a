"""The schedule that a network was trained on, from a configuration of diffusers."""

import numpy as np

from schedalg.arrays import to_host
from schedalg.interop.diffusers.config import Options
from schedalg.schedule import Schedule

#: Classes whose networks were trained on a flow, and on EDM's noise; all others on betas.
FLOWS = frozenset({"FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"})
EDM = frozenset({"EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"})

_BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace", "exp")


def trained(options: Options) -> Schedule:
    """Return the schedule of all training steps, of betas or of a flow that is not shifted yet.

    Raises:
        TypeError: An option is of the wrong type.
        ValueError: An option has a wrong value, or contradicts another.
    """
    n = options.count("num_train_timesteps")
    if options.name in FLOWS or options.flag("use_flow_sigmas"):
        return flow_at(np.arange(1, n + 1) / n, n)
    if options["trained_betas"] is not None:
        base = Schedule.from_betas(np.asarray(options["trained_betas"], dtype=np.float64))
        if len(base) != n:
            options.refuse("num_train_timesteps", f"trained_betas holds {len(base)} values")
    else:
        base = _named(options, n)
    return base.rescale_zero_terminal_snr() if options.flag("rescale_betas_zero_snr") else base


def _named(options: Options, n: int) -> Schedule:
    name = options.choice("beta_schedule", _BETAS)
    if name == "squaredcos_cap_v2":
        return Schedule.cosine(n)
    if name == "laplace":
        return Schedule.laplace(n)
    if name == "exp":
        return Schedule.exp(n)
    start, end = options.number("beta_start"), options.number("beta_end")
    if name == "linear":
        return Schedule.linear(n, start, end)
    if name == "scaled_linear":
        return Schedule.scaled_linear(n, start, end)
    return Schedule.sigmoid(n, start, end)


def flow_at(sigma: np.ndarray, n: int, told: np.ndarray | None = None) -> Schedule:
    """Return the flow through rising noise levels in (0, 1], whose network is told n sigma."""
    with np.errstate(divide="ignore"):  # pure noise
        log_snr = 2 * (np.log1p(-sigma) - np.log(sigma))
    return Schedule.from_log_snr(
        log_snr, kind="flow", timesteps=n * sigma if told is None else told
    )


def ratios(base: Schedule) -> np.ndarray:
    """Return sigma/alpha of every trained step, on the host."""
    return np.asarray(to_host(base.to_sigmas()), dtype=np.float64)
