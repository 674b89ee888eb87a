"""Every sampler, with what it declares: what the generic tests of samplers run over.

A new sampler is entered here, and inherits them all.
"""

from typing import Any, NamedTuple

import numpy as np

from schedalg import (
    DDIM,
    DDPM,
    DEIS,
    IPNDM,
    LCM,
    LMS,
    PNDM,
    TCD,
    DPMSolver,
    DPMSolverPP,
    Euler,
    EulerAncestral,
    FlowCPS,
    FlowSDE,
    Heun,
    Midpoint,
    RePaint,
    Restart,
    RungeKutta,
    SASolver,
    Schedule,
    Tableau,
    UniPC,
)

KUTTA = Tableau([[], [0.5], [-1, 2]], [1 / 6, 2 / 3, 1 / 6], order=3)
RK4 = Tableau([[], [0.5], [0, 0.5], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6], order=4)

#: The errors of the perfect network for data N(0, 1/4), at noise levels beyond those of any test.
_WIDE = Schedule.from_log_snr([*np.linspace(300, -300, 61), -np.inf])
CURVE = (_WIDE, tuple((1 / (4 + 1 / _WIDE.to_sigmas() ** 2)).tolist()))


class Entry(NamedTuple):
    """A sampler, and what it declares.

    Attributes:
        sampler: The sampler.
        order: Order on grids even in log-SNR; None where noise is added, or the last steps have
            lower order.
        calls: Model calls for 12 steps to clean data.
        distilled: "flow" for networks that tell where the flow ends, "trajectory" for those that
            tell every point of it, of which Gaussian data have no example in closed form.
        uneven: Whether steps may be as uneven as they like. Methods in slopes, of eps or of tau,
            find a small sigma_s as the difference of large numbers, and lose as many digits as the
            noise falls by in a step.
        of_points: Whether x has the variance of the noise level where the data are a single point.
        converges: Whether the variance of Gaussian data converges to the right one as steps grow;
            not where every step replaces the same share of the noise, however short it is.
    """

    sampler: Any
    order: int | None = None
    calls: int = 12
    distilled: str = ""
    uneven: bool = True
    of_points: bool = True
    converges: bool = True


SAMPLERS: dict[str, Entry] = {
    "DDPM": Entry(DDPM()),
    "DDPM large": Entry(DDPM("fixed_large"), of_points=False),
    "DDPM fitted": Entry(DDPM(CURVE), of_points=False),
    "DDIM": Entry(DDIM(), 1),
    "DDIM 0.5": Entry(DDIM(0.5)),
    "DDIM 1": Entry(DDIM(1.0)),
    "DDIM fitted": Entry(DDIM(variance=CURVE), of_points=False),
    "Euler": Entry(Euler(), 1),
    "Euler churn": Entry(Euler(s_churn=2.0, s_tmax=5.0)),
    "EulerAncestral": Entry(EulerAncestral()),
    "EulerAncestral fitted": Entry(EulerAncestral(eta=0.5, variance=CURVE), of_points=False),
    "Heun": Entry(Heun(), 2, 23, uneven=False),
    "Heun churn": Entry(Heun(s_churn=2.0, s_tmin=0.1, s_tmax=5.0), calls=23, uneven=False),
    "Heun ancestral": Entry(Heun(eta=0.5), calls=23, uneven=False),
    "Midpoint": Entry(Midpoint(), 2, 23, uneven=False),
    "Kutta": Entry(RungeKutta(KUTTA), 3, 34, uneven=False),
    "RK4": Entry(RungeKutta(RK4), 4, 45, uneven=False),
    "DPM-Solver-1": Entry(DPMSolver(order=1), 1, uneven=False),
    "DPM-Solver-2": Entry(DPMSolver(order=2), 2, uneven=False),
    "DPM-Solver-3": Entry(DPMSolver(), 3, uneven=False),
    "DPM-Solver-3 lower final": Entry(DPMSolver(order=3, lower_order_final=True), uneven=False),
    "DPM-Solver++ 1": Entry(DPMSolverPP(order=1), 1),
    "DPM-Solver++ 2M": Entry(DPMSolverPP(order=2), 2),
    "DPM-Solver++ 3M": Entry(DPMSolverPP(order=3), 2),
    "DPM-Solver++ 3M exact": Entry(DPMSolverPP(order=3, exact=True), 3),
    "DPM-Solver++ 3M exact full start": Entry(DPMSolverPP(order=3, exact=True, full_start=True), 3),
    "DPM-Solver++ 2S": Entry(DPMSolverPP(order=2, singlestep=True), 2, uneven=False),
    "DPM-Solver++ SDE-2M": Entry(DPMSolverPP(order=2, eta=1.0)),
    "DPM-Solver++ SDE-3M": Entry(DPMSolverPP(order=3, eta=1.0)),
    "DPM-Solver++ SDE-3M exact": Entry(DPMSolverPP(order=3, eta=1.0, exact=True)),
    "DPM-Solver++ SDE 0.5": Entry(DPMSolverPP(order=2, eta=0.5)),
    "DPM-Solver++ 3M lower final": Entry(DPMSolverPP(order=3, lower_order_final=True)),
    "UniP-1": Entry(UniPC(order=1, corrector=False), 1),
    "UniP-2": Entry(UniPC(order=2, variant="bh1", corrector=False), 2),
    "UniP-3": Entry(UniPC(order=3, corrector=False), 3),
    "UniPC-1": Entry(UniPC(order=1), 2),
    "UniPC-2": Entry(UniPC(order=2), 3),
    "UniPC-2 bh1": Entry(UniPC(order=2, variant="bh1"), 3),
    "UniPC-2 lower final": Entry(UniPC(order=2, lower_order_final=True)),
    "UniPC-2 uncorrected from noise": Entry(UniPC(order=2, correct_from_noise=False), 3),
    "UniPC-3": Entry(UniPC(order=3), 4),
    "UniP-3 full start": Entry(UniPC(order=3, corrector=False, full_start=True), 3),
    "UniPC-3 full start": Entry(UniPC(order=3, full_start=True), 4, 13),
    "LMS 1": Entry(LMS(order=1), 1, uneven=False),
    "LMS 2": Entry(LMS(order=2), 2, uneven=False),
    "LMS 3": Entry(LMS(order=3), 3, uneven=False),
    "LMS 4": Entry(LMS(), 4, uneven=False),
    "LMS 3 full start": Entry(LMS(order=3, full_start=True), 3, uneven=False),
    "LMS 4 full start": Entry(LMS(full_start=True), 4, 13, uneven=False),
    "DEIS 1": Entry(DEIS(order=1), 1, uneven=False),
    "DEIS 2": Entry(DEIS(order=2), 2, uneven=False),
    "DEIS 3": Entry(DEIS(), 3, uneven=False),
    "DEIS 3 lower final": Entry(DEIS(order=3, lower_order_final=True), uneven=False),
    "DEIS 4": Entry(DEIS(order=4), 4, uneven=False),
    "DEIS 4 full start": Entry(DEIS(order=4, full_start=True), 4, 13, uneven=False),
    "IPNDM 1": Entry(IPNDM(order=1), 1, uneven=False),
    "IPNDM 2": Entry(IPNDM(order=2), 2, uneven=False),
    "IPNDM 3": Entry(IPNDM(), 2, uneven=False),
    "IPNDM 4": Entry(IPNDM(order=4), 2, uneven=False),
    "PNDM": Entry(PNDM(), 2, 13, uneven=False),
    "LCM": Entry(LCM(), distilled="flow"),
    "TCD": Entry(TCD(), distilled="trajectory"),
    "Flow SDE": Entry(FlowSDE(), of_points=False),
    "Flow CPS": Entry(FlowCPS(), converges=False),
    "SA-Solver": Entry(SASolver()),
    "SA-Solver 3, 1": Entry(SASolver(order=3, corrector_order=1, tau=0.6)),
    "SA-Solver ODE": Entry(SASolver(order=2, corrector_order=2, tau=0.0), 3),
    "SA-Solver predictor": Entry(SASolver(order=3, corrector_order=0, tau=0.0), 3),
    "Restart": Entry(
        Restart(Heun(), [(1, 4, 2), (5, 7, 1)]), calls=23 + 2 * 2 * 3 + 2 * 2, uneven=False
    ),
    "RePaint": Entry(RePaint(jump_length=4, times=3), calls=12 + 2 * 8),
}
