"""Tables against loops written out from the papers, and against the numbers of diffusers' tests.

The loops below know alpha and sigma at the points of a schedule, and nothing of tables: predictions
are kept in lists, weights come from numerical integration or from small linear systems.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDPM,
    DEIS,
    LCM,
    LMS,
    PNDM,
    TCD,
    DPMSolver,
    DPMSolverPP,
    Euler,
    EulerAncestral,
    Heun,
    RePaint,
    Restart,
    SASolver,
    Schedule,
    UniPC,
    sample,
)

X = np.random.default_rng(5).standard_normal((3, 4))
STEPS = Schedule.linear(1000).subsample(steps=9, spacing="linspace")
PATHS = {
    "to clean data": STEPS,
    "to a noisy level": STEPS[1:],
    "even in log-SNR": Schedule.from_log_snr(np.linspace(4, -6, 10))[1:],
    "scaled ve": STEPS[:8].as_ve(),
}
EVERY_PATH = pytest.mark.parametrize("path", [pytest.param(s, id=n) for n, s in PATHS.items()])
NOISE = np.random.default_rng(6).standard_normal((40, 3, 4))


def network(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    return np.tanh(x) * np.cos(timesteps[:, None] / 300) + 0.1 * x


class Loop:
    """The points of a schedule, noisiest first and the origin last, and the network at them."""

    def __init__(self, schedule: Schedule) -> None:
        points = [schedule.origin, *schedule][::-1]
        self.alpha = [p.alpha for p in points]
        self.sigma = [p.sigma for p in points]
        self.rho = [p.sigma / p.alpha for p in points]
        with np.errstate(divide="ignore"):
            self.lam = [-float(np.log(np.float64(r))) for r in self.rho]
        self.timesteps = [p.timestep for p in points]
        self.steps = len(points) - 1
        self.kind = schedule.kind
        self.noise = iter(NOISE)

    def eps(self, x: np.ndarray, i: int) -> np.ndarray:
        scale = math.hypot(self.alpha[i], self.sigma[i])
        return network(x / scale, np.full(len(x), self.timesteps[i]))

    def x0(self, x: np.ndarray, i: int) -> np.ndarray:
        return (x - self.sigma[i] * self.eps(x, i)) / self.alpha[i]

    def ddim(self, x: np.ndarray, eps: np.ndarray, i: int, j: int) -> np.ndarray:
        return self.alpha[j] * (x - self.sigma[i] * eps) / self.alpha[i] + self.sigma[j] * eps


Function = Callable[[np.ndarray], np.ndarray]


def lagrange(nodes: list[float], j: int) -> Function:
    def polynomial(at: np.ndarray) -> np.ndarray:
        result = np.ones_like(at)
        for k, node in enumerate(nodes):
            if k != j:
                result = result * (at - node) / (nodes[j] - node)
        return result

    return polynomial


def integrate(polynomial: Function, a: float, b: float, weight: Function = np.ones_like) -> float:
    """Gauss and Legendre, with 60 points."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    at = (a + b) / 2 + (b - a) / 2 * nodes
    return float(((b - a) / 2 * weights * weight(at) * polynomial(at)).sum())


def dpm_solver_pp_2m(s: Loop, x: np.ndarray) -> np.ndarray:
    """Algorithm 2 of Lu et al., arXiv 2211.01095."""
    old = None
    for i in range(s.steps):
        now = s.x0(x, i)
        h = s.lam[i + 1] - s.lam[i]
        if old is None or math.isinf(h):
            d = now
        else:
            r = (s.lam[i] - s.lam[i - 1]) / h
            d = (1 + 1 / (2 * r)) * now - 1 / (2 * r) * old
        x = s.sigma[i + 1] / s.sigma[i] * x - s.alpha[i + 1] * math.expm1(-h) * d
        old = now
    return x


def sde_dpm_solver_pp_2m(s: Loop, x: np.ndarray) -> np.ndarray:
    """Its appendix B, and k-diffusion's "midpoint"."""
    old = None
    for i in range(s.steps):
        now = s.x0(x, i)
        h = s.lam[i + 1] - s.lam[i]
        d = now
        if old is not None and not math.isinf(h):
            d = now + 0.5 * h / (s.lam[i] - s.lam[i - 1]) * (now - old)
        x = s.sigma[i + 1] / s.sigma[i] * math.exp(-h) * x - s.alpha[i + 1] * math.expm1(-2 * h) * d
        if s.sigma[i + 1] > 0:
            x = x + s.sigma[i + 1] * math.sqrt(-math.expm1(-2 * h)) * next(s.noise)
        old = now
    return x


def dpm_solver_pp_2s(s: Loop, x: np.ndarray) -> np.ndarray:
    """Algorithm 1 of the same, over pairs of steps; what is left over comes first."""
    finite = s.steps - (s.sigma[-1] == 0)
    i = finite % 2
    if i:
        x = s.ddim(x, s.eps(x, 0), 0, 1)
    while i < finite:
        h, first = s.lam[i + 2] - s.lam[i], s.lam[i + 1] - s.lam[i]
        r, d = first / h, s.x0(x, i)
        u = s.sigma[i + 1] / s.sigma[i] * x - s.alpha[i + 1] * math.expm1(-r * h) * d
        mixed = (1 - 1 / (2 * r)) * d + 1 / (2 * r) * s.x0(u, i + 1)
        x = s.sigma[i + 2] / s.sigma[i] * x - s.alpha[i + 2] * math.expm1(-h) * mixed
        i += 2
    return x if finite == s.steps else s.alpha[-1] * s.x0(x, s.steps - 1)


def dpm_solver(order: int, s: Loop, x: np.ndarray) -> np.ndarray:
    """Algorithms 1 and 2 of Lu et al., arXiv 2206.00927; what is left over comes first."""
    finite = s.steps - (s.sigma[-1] == 0)
    left: dict[int, list[int]] = {0: [], 1: [2, 2], 2: [2]} if order == 3 else {0: [], 1: [1]}
    sizes = left[finite % order]
    sizes = sizes + [order] * ((finite - sum(sizes)) // order)
    i = 0
    for size in sizes:
        t, j = s.eps(x, i), i + size
        if size == 1:
            x, i = s.ddim(x, t, i, j), j
            continue
        h, first = s.lam[j] - s.lam[i], s.lam[i + 1] - s.lam[i]
        r1 = first / h
        u = s.alpha[i + 1] / s.alpha[i] * x - s.sigma[i + 1] * math.expm1(first) * t
        d1 = s.eps(u, i + 1) - t
        if size == 2:
            x = (
                s.alpha[j] / s.alpha[i] * x
                - s.sigma[j] * math.expm1(h) * t
                - s.sigma[j] / (2 * r1) * math.expm1(h) * d1
            )
        else:
            r2 = (s.lam[i + 2] - s.lam[i]) / h
            w = (
                s.alpha[i + 2] / s.alpha[i] * x
                - s.sigma[i + 2] * math.expm1(r2 * h) * t
                - s.sigma[i + 2] * r2 / r1 * (math.expm1(r2 * h) / (r2 * h) - 1) * d1
            )
            d2 = s.eps(w, i + 2) - t
            x = (
                s.alpha[j] / s.alpha[i] * x
                - s.sigma[j] * math.expm1(h) * t
                - s.sigma[j] / r2 * (math.expm1(h) / h - 1) * d2
            )
        i = j
    return x if finite == s.steps else s.alpha[-1] * s.x0(x, s.steps - 1)


def unipc(variant: str, order: int) -> Callable[[Loop, np.ndarray], np.ndarray]:
    """Algorithms 1 and 2 of Zhao et al., arXiv 2302.04867, by linear systems, as its authors do."""

    def update(
        s: Loop, x: np.ndarray, i: int, d: list[np.ndarray], p: int, end: np.ndarray | None
    ) -> np.ndarray:
        """From point i to the next, with p predictions before, and the one at the end."""
        h = s.lam[i + 1] - s.lam[i]
        base = s.sigma[i + 1] / s.sigma[i] * x - s.alpha[i + 1] * math.expm1(-h) * d[-1]
        if math.isinf(h):
            return base
        rates = [(s.lam[i - k] - s.lam[i]) / h for k in range(1, p)]
        differences = [(d[-1 - k] - d[-1]) / r for k, r in zip(range(1, p), rates, strict=True)]
        if end is not None:
            rates.append(1.0)
            differences.append(end - d[-1])
        if not rates:
            return base
        b_h = -h if variant == "bh1" else math.expm1(-h)
        phi, factorial, b = math.expm1(-h) / -h - 1, 1, []
        for k in range(1, len(rates) + 1):
            b.append(phi * factorial / b_h)
            factorial *= k + 1
            phi = phi / -h - 1 / factorial
        matrix = np.array([[r ** (k) for r in rates] for k in range(len(rates))])
        weights = [0.5] if len(rates) == 1 else np.linalg.solve(matrix, b).tolist()
        total = sum(w * difference for w, difference in zip(weights, differences, strict=True))
        return base - s.alpha[i + 1] * b_h * total

    def run(s: Loop, x: np.ndarray) -> np.ndarray:
        d: list[np.ndarray] = []
        before, p = x, 0
        for i in range(s.steps):
            now = s.x0(x, i)
            if i > 0:
                x = update(s, before, i - 1, d, p, now)
            d.append(now)
            before, p = x, min(order, i + 1)
            x = update(s, x, i, d, p, None)
        return x

    return run


def lms(order: int) -> Callable[[Loop, np.ndarray], np.ndarray]:
    """k-diffusion's linear multistep, with its integrals by quadrature."""

    def run(s: Loop, x: np.ndarray) -> np.ndarray:
        slopes: list[np.ndarray] = []
        x = x / s.alpha[0]
        for i in range(s.steps):
            slopes.append(s.eps(s.alpha[i] * x, i))
            nodes = [s.rho[i - j] for j in range(min(i + 1, order))]
            for j in range(len(nodes)):
                weight = integrate(lagrange(nodes, j), s.rho[i], s.rho[i + 1])
                x = x + weight * slopes[-1 - j]
        return s.alpha[-1] * x

    return run


def deis(order: int) -> Callable[[Loop, np.ndarray], np.ndarray]:
    """Equation 15 of Zhang and Chen, arXiv 2204.13902, with polynomials in lambda."""

    def run(s: Loop, x: np.ndarray) -> np.ndarray:
        eps: list[np.ndarray] = []
        for i in range(s.steps):
            eps.append(s.eps(x, i))
            if s.sigma[i + 1] == 0:
                return s.alpha[-1] * s.x0(x, i)
            nodes = [s.lam[i - j] for j in range(min(i + 1, order))]
            after = s.alpha[i + 1] / s.alpha[i] * x
            for j in range(len(nodes)):
                polynomial, (a, b) = lagrange(nodes, j), (s.lam[i], s.lam[i + 1])
                weight = integrate(polynomial, a, b, lambda at: np.exp(-at))
                after = after - s.alpha[i + 1] * weight * eps[-1 - j]
            x = after
        return x

    return run


def pndm(s: Loop, x: np.ndarray) -> np.ndarray:
    """Stable Diffusion's PLMS: two calls in the first step, then 2, 3 and 4 predictions."""
    eps = [s.eps(x, 0)]
    mean = (eps[0] + s.eps(s.ddim(x, eps[0], 0, 1), 1)) / 2
    x = s.ddim(x, mean, 0, 1)
    for i in range(1, s.steps):
        eps.append(s.eps(x, i))
        if i == 1:
            mixed = (3 * eps[-1] - eps[-2]) / 2
        elif i == 2:
            mixed = (23 * eps[-1] - 16 * eps[-2] + 5 * eps[-3]) / 12
        else:
            mixed = (55 * eps[-1] - 59 * eps[-2] + 37 * eps[-3] - 9 * eps[-4]) / 24
        x = s.ddim(x, mixed, i, i + 1)
    return x


def heun(s: Loop, x: np.ndarray) -> np.ndarray:
    """Algorithm 1 of Karras et al., arXiv 2206.00364, in sigma = rho and x / alpha."""
    x = x / s.alpha[0]
    for i in range(s.steps):
        d = (x - s.x0(s.alpha[i] * x, i)) / s.rho[i]
        after = x + (s.rho[i + 1] - s.rho[i]) * d
        if s.rho[i + 1] > 0:
            d2 = (after - s.x0(s.alpha[i + 1] * after, i + 1)) / s.rho[i + 1]
            after = x + (s.rho[i + 1] - s.rho[i]) * (d + d2) / 2
        x = after
    return s.alpha[-1] * x


def ancestral(s: Loop, x: np.ndarray) -> np.ndarray:
    """k-diffusion's Euler ancestral."""
    x = x / s.alpha[0]
    for i in range(s.steps):
        here, there = s.rho[i], s.rho[i + 1]
        up = math.sqrt(there**2 * (here**2 - there**2) / here**2)
        down = math.sqrt(there**2 - up**2)
        x = x + (down - here) * (x - s.x0(s.alpha[i] * x, i)) / here
        if up > 0:
            x = x + up * next(s.noise)
    return s.alpha[-1] * x


def exponential_adams(
    order: int, corrector: int, eta: float
) -> Callable[[Loop, np.ndarray], np.ndarray]:
    """Algorithm 1 of Xue et al., arXiv 2309.05019, eta for tau²; DPM-Solver++ if not corrected."""
    q = 1 + eta

    def move(s: Loop, x: np.ndarray, i: int, nodes: list[float], d: list[np.ndarray]) -> np.ndarray:
        a, b = s.lam[i], s.lam[i + 1]
        after = s.sigma[i + 1] / s.sigma[i] * math.exp(-eta * (b - a)) * x
        for j, value in enumerate(d):
            weight = integrate(lagrange(nodes, j), a, b, lambda at: q * np.exp(-q * (b - at)))
            after = after + s.alpha[i + 1] * weight * value
        return after

    def run(s: Loop, x: np.ndarray) -> np.ndarray:
        d: list[np.ndarray] = []
        before, fresh = x, np.zeros_like(x)
        for i in range(s.steps):
            now = s.x0(x, i)
            if i > 0 and corrector:
                used = min(corrector, i)
                nodes = [s.lam[i], *(s.lam[i - 1 - j] for j in range(used))]
                values = [now, *(d[-1 - j] for j in range(used))]
                x = move(s, before, i - 1, nodes, values) + fresh
            d.append(now)
            before = x
            if s.sigma[i + 1] == 0:
                return s.alpha[-1] * now
            used = min(order, i + 1)
            if used == 2 and order == 3 and not corrector:
                # The second step of 3M is 2M's, with the slope taken half way.
                h, h_before = s.lam[i + 1] - s.lam[i], s.lam[i] - s.lam[i - 1]
                mixed = now + h / (2 * h_before) * (now - d[-2])
                x = s.sigma[i + 1] / s.sigma[i] * math.exp(-eta * h) * x
                x = x - s.alpha[i + 1] * math.expm1(-q * h) * mixed
            else:
                nodes = [s.lam[i - j] for j in range(used)]
                x = move(s, x, i, nodes, [d[-1 - j] for j in range(used)])
            if eta:
                h = s.lam[i + 1] - s.lam[i]
                fresh = s.sigma[i + 1] * math.sqrt(-math.expm1(-2 * eta * h)) * next(s.noise)
                x = x + fresh
        return x

    return run


def lcm(s: Loop, x: np.ndarray) -> np.ndarray:
    """Algorithm 3 of Luo et al., arXiv 2310.04378, with the boundary condition of its code."""
    for i in range(s.steps):
        t = 10 * s.timesteps[i]
        seen = x / math.hypot(s.alpha[i], s.sigma[i])
        denoised = 0.5**2 / (t**2 + 0.5**2) * seen + t / math.hypot(t, 0.5) * s.x0(x, i)
        x = s.alpha[i + 1] * denoised
        if s.sigma[i + 1] > 0:
            x = x + s.sigma[i + 1] * next(s.noise)
    return x


def tcd(s: Loop, x: np.ndarray) -> np.ndarray:
    """Algorithm 1 of Zheng et al., arXiv 2402.19159, with sigma/alpha in place of time."""
    for i in range(s.steps):
        eps, rho = s.eps(x, i), 0.7 * s.rho[i + 1]
        part = s.x0(x, i) + rho * eps
        x = s.alpha[i + 1] * part
        if s.rho[i + 1] > 0:
            x = x + s.alpha[i + 1] * math.sqrt(s.rho[i + 1] ** 2 - rho**2) * next(s.noise)
    return x


LOOPS: dict[str, tuple[Any, Callable[[Loop, np.ndarray], np.ndarray]]] = {
    "DPM-Solver++ 2M": (DPMSolverPP(order=2), dpm_solver_pp_2m),
    "DPM-Solver++ SDE-2M": (DPMSolverPP(order=2, eta=1.0), sde_dpm_solver_pp_2m),
    "DPM-Solver++ 2S": (DPMSolverPP(order=2, singlestep=True), dpm_solver_pp_2s),
    "DPM-Solver-2": (DPMSolver(order=2), partial(dpm_solver, 2)),
    "DPM-Solver-3": (DPMSolver(order=3), partial(dpm_solver, 3)),
    "UniPC-1": (UniPC(order=1), unipc("bh2", 1)),
    "UniPC-2": (UniPC(order=2), unipc("bh2", 2)),
    "UniPC-2 bh1": (UniPC(order=2, variant="bh1"), unipc("bh1", 2)),
    "UniPC-3": (UniPC(order=3), unipc("bh2", 3)),
    "LMS 2": (LMS(order=2), lms(2)),
    "LMS 4": (LMS(), lms(4)),
    "DEIS 2": (DEIS(order=2), deis(2)),
    "DEIS 3": (DEIS(order=3), deis(3)),
    "DEIS 4": (DEIS(order=4), deis(4)),
    "PNDM": (PNDM(), pndm),
    "Heun": (Heun(), heun),
    "EulerAncestral": (EulerAncestral(), ancestral),
    "DPM-Solver++ 3M": (DPMSolverPP(order=3), exponential_adams(3, 0, 0.0)),
    "DPM-Solver++ SDE-3M": (DPMSolverPP(order=3, eta=1.0), exponential_adams(3, 0, 1.0)),
    "SA-Solver": (SASolver(order=2, corrector_order=2, tau=0.7), exponential_adams(2, 2, 0.49)),
    "SA-Solver 3, 1": (
        SASolver(order=3, corrector_order=1, tau=0.6),
        exponential_adams(3, 1, 0.36),
    ),
    "SA-Solver 4, 3": (
        SASolver(order=4, corrector_order=3, tau=0.3),
        exponential_adams(4, 3, 0.09),
    ),
    "LCM": (LCM(timestep_scaling=10.0), lcm),
    "TCD": (TCD(gamma=0.3), tcd),
}


@EVERY_PATH
@pytest.mark.parametrize("name", LOOPS)
def test_a_table_does_what_the_paper_s_loop_does(name: str, path: Schedule) -> None:
    sampler, loop = LOOPS[name]
    draws = iter(NOISE)
    result = sample(network, path, sampler, X, noise=lambda x: next(draws))
    expected = loop(Loop(path), X)
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9)


def test_churn_is_algorithm_2_of_edm() -> None:
    """Karras et al., arXiv 2206.00364, for Heun's method; the network is told sigma."""
    path = Schedule.karras(8)
    churn, low, high, noise = 4.0, 0.05, 50.0, 1.003  # 4/8 is more than sqrt(2) - 1

    def denoise(x: np.ndarray, sigma: float) -> np.ndarray:
        return 0.4 * x / (1 + sigma) + 0.1

    x, draws = X * 80, iter(NOISE)
    sigmas = [*path.timesteps[::-1].tolist(), 0.0]
    for here, there in pairwise(sigmas):
        gamma = min(churn / 8, math.sqrt(2) - 1) if low <= here <= high else 0.0
        raised = here * (1 + gamma)
        if gamma > 0:
            x = x + math.sqrt(raised**2 - here**2) * noise * next(draws)
        d = (x - denoise(x, raised)) / raised
        after = x + (there - raised) * d
        if there > 0:
            after = x + (there - raised) * (d + (after - denoise(after, there)) / there) / 2
        x = after
    sampler = Heun(s_churn=churn, s_tmin=low, s_tmax=high, s_noise=noise)
    draws = iter(NOISE)
    result = sample(
        lambda x, t: denoise(x, t[0]),
        path,
        sampler,
        X * 80,
        prediction="x0",
        noise=lambda x: next(draws),
    )
    np.testing.assert_allclose(result, x, rtol=1e-10)
    # Where the first step is churned too, its noise comes before the first row.
    first = Euler(s_churn=1.0).plan(path)
    raised = 80 * (1 + 1 / 8)
    assert first.alpha[0] == 1
    assert first.sigma[0] == pytest.approx(raised, rel=1e-14)
    assert first.timesteps[0] == pytest.approx(raised, rel=1e-14)
    assert first.start == pytest.approx((1, math.sqrt(raised**2 - 80**2)), rel=1e-14)


def test_heun_on_a_flow_is_the_flow_s() -> None:
    """dx/dt = v, with the mean of the slopes at both ends; also with a shift."""
    path = Schedule.flow(6, shift=3.0)

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        return np.sin(x) - t

    x, times = X, [*path.timesteps[::-1].tolist(), 0.0]
    for here, there in pairwise(times):
        v = velocity(x, here)
        after = x + (there - here) * v
        if there > 0:
            after = x + (there - here) * (v + velocity(after, there)) / 2
        x = after
    result = sample(lambda x, t: velocity(x, t[0]), path, Heun(), X, prediction="flow")
    np.testing.assert_allclose(result, x, rtol=1e-12)


def test_restart_walks_a_stretch_again() -> None:
    """Xu et al., arXiv 2306.14878: noise up from point 2 to point 5, twice."""
    path = Schedule.karras(9)
    walk = Heun()

    def model(x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return 0.5 * x / (1 + sigma[:, None])

    def go(x: np.ndarray, schedule: Schedule) -> np.ndarray:
        return np.asarray(sample(model, schedule, walk, x, prediction="x0"))

    x = go(X * 80, path[3:])
    for z in NOISE[:2]:
        x = x + math.sqrt(path[5].sigma ** 2 - path[2].sigma ** 2) * z
        x = go(x, path[3:6])
    x = go(x, path[:3])
    draws = iter(NOISE)
    sampler = Restart(walk, [(2, 5, 2)])
    result = sample(model, path, sampler, X * 80, prediction="x0", noise=lambda x: next(draws))
    np.testing.assert_allclose(result, x, rtol=1e-10)


def test_repaint_walks_every_stretch_again() -> None:
    """Lugmayr et al., arXiv 2201.09865: up by jump_length from each of its multiples, times - 1."""
    path = Schedule.linear(1000).subsample(steps=11)
    rng = np.random.default_rng(9)
    x, visited = X, []
    for low, top in ((8, 11), (4, 9), (0, 5)):
        for time in range(1 if top == 11 else 3):
            if time > 0:
                ratio = path[top - 1].alpha / path[low].alpha
                noise = path[top - 1].sigma ** 2 - (ratio * path[low].sigma) ** 2
                x = ratio * x + math.sqrt(noise) * rng.standard_normal(x.shape)
            x = np.asarray(sample(network, path[low + 1 : top], DDPM(), x, noise=rng))
            visited += path.timesteps[low + 1 : top][::-1].tolist()
    x = np.asarray(sample(network, path[:1], DDPM(), x, noise=rng))
    told: list[int] = []

    def listening(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        told.append(int(timesteps[0]))
        return network(x, timesteps)

    sample(listening, path, RePaint(jump_length=4, times=3), X, noise=9)
    assert told == [*visited, 0]


def test_tcd_can_be_told_the_trained_schedule() -> None:
    """floor((1 - gamma) s) in trained timesteps, as in the paper."""
    base = Schedule.scaled_linear(1000)
    fast = base.subsample(steps=4, spacing="trailing")
    plan = TCD(gamma=0.3, trained=base).plan(fast)
    for row, s in enumerate(fast.timesteps[-2::-1].tolist()):
        t, u = fast[3 - row], base[math.floor(0.7 * s)]
        ratio = fast[2 - row].alpha / u.alpha
        assert plan.a[row] == pytest.approx(ratio * u.sigma / t.sigma, rel=1e-12)
        kept = u.alpha - u.sigma * t.alpha / t.sigma
        assert plan.b[row, 0] == pytest.approx(ratio * kept, rel=1e-12)
        noise = fast[2 - row].sigma ** 2 - (ratio * u.sigma) ** 2
        assert plan.c[row] == pytest.approx(math.sqrt(noise), rel=1e-12)
    assert TCD(gamma=0.0).plan(fast).c.tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(TCD(gamma=1.0).plan(fast).b[:, 0], LCM().plan(fast).b[:, 0])


# Sums and means of absolute values that the test suite of diffusers holds its samplers to, for its
# sample and its network, x t / (t + 1).


def deterministic_sample() -> np.ndarray:
    ramp = np.arange(768, dtype=np.float64).reshape(3, 8, 8, 4) / 768
    return np.moveaxis(ramp, 3, 0)


def residual(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
    t = timesteps[:, None, None, None].astype(x.dtype)
    return np.asarray(x * t / (t + 1))


@pytest.mark.parametrize(
    ("sampler", "total"), [(Euler(), 168.0516), (Heun(), 244.6025), (LMS(), 191.1941)]
)
def test_the_sums_of_diffusers_for_samplers_in_sigma(sampler: Any, total: float) -> None:
    base = Schedule.linear(1100)
    at = np.linspace(0, 1099, 10)
    path = Schedule.from_sigmas(np.interp(at, base.timesteps, base.to_sigmas()), timesteps=at)
    x = deterministic_sample() * path.prior_std

    def model(x: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        # It is given the scaled copy of x: that of a variance-preserving network.
        sigma = np.interp(timesteps, at, path.to_sigmas())[:, None, None, None]
        return residual(x / np.sqrt(sigma**2 + 1), timesteps)

    result = sample(model, path, sampler, x)
    assert np.abs(result).sum() == pytest.approx(total, abs=1e-2)


def karras_levels(base: Schedule, n: int) -> Schedule:
    """Return n Karras levels of a schedule, told rounded timesteps, and the last of them twice.

    The second time a billionth below, since the last step of diffusers' has no length, but a call.
    """
    sigmas = base.to_sigmas()
    low, high = sigmas[0] ** (1 / 7), sigmas[-1] ** (1 / 7)
    levels = np.linspace(low, high, n) ** 7
    told = np.interp(np.log(levels), np.log(sigmas), np.arange(len(base))).round()
    levels, told = np.append(levels[0] * (1 - 1e-9), levels), np.append(0, told)
    return replace(Schedule.from_sigmas(levels, timesteps=told).as_vp()[1:], network_kind="vp")


@pytest.mark.parametrize(
    ("sampler", "prediction", "karras", "mean"),
    [
        (DPMSolverPP(order=2), "epsilon", False, 0.3301),
        (DPMSolverPP(order=2), "v", True, 0.2096),
        (UniPC(order=2, lower_order_final=True), "epsilon", False, 0.2464),
        (UniPC(order=2, lower_order_final=True), "epsilon", True, 0.2925),
        (UniPC(order=2, lower_order_final=True), "v", False, 0.1014),
    ],
)
def test_the_means_of_diffusers_for_samplers_in_log_snr(
    sampler: Any, prediction: Any, karras: bool, mean: float
) -> None:
    """They end at the noise of timestep 0, which is this schedule's origin."""
    base = Schedule.linear(1000)
    path = base.subsample(steps=11, spacing="linspace")[1:]
    if karras:
        path = karras_levels(base, 10)
    result = sample(residual, path, sampler, deterministic_sample(), prediction=prediction)
    assert np.abs(result).mean() == pytest.approx(mean, abs=1e-3)


def test_the_sum_of_diffusers_for_a_flow() -> None:
    t = np.linspace(0.001, 1, 10)
    with np.errstate(divide="ignore"):
        log_snr = 2 * np.log((1 - t) / t)
    path = Schedule.from_log_snr(log_snr, kind="flow", timesteps=1000 * t)
    result = sample(residual, path, Euler(), deterministic_sample(), prediction="flow")
    assert np.abs(result).sum() == pytest.approx(133.362, abs=1e-2)
