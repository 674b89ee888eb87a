"""Loops written out from the papers.

They use alpha and sigma at the points of a schedule, and no plan. Predictions are stored in lists;
weights come from numerical integration or from small linear systems.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from schedalg import (
    DEIS,
    LCM,
    LMS,
    PNDM,
    TCD,
    DPMSolver,
    DPMSolverPP,
    EulerAncestral,
    FlowCPS,
    FlowSDE,
    Heun,
    SASolver,
    Schedule,
    UniPC,
)

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
    """Return an integral by Gauss-Legendre quadrature with 60 points."""
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
    """Appendix B of Lu et al., arXiv 2211.01095, and k-diffusion's "midpoint"."""
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


def dpm_solver_pp_3m(eta: float) -> Callable[[Loop, np.ndarray], np.ndarray]:
    """3M and SDE-3M in the authors' form; its second step is a step of 2M."""

    def run(s: Loop, x: np.ndarray) -> np.ndarray:
        d: list[np.ndarray] = []
        for i in range(s.steps):
            d.append(s.x0(x, i))
            if s.sigma[i + 1] == 0:
                return s.alpha[-1] * d[-1]
            h, z = s.lam[i + 1] - s.lam[i], (1 + eta) * (s.lam[i + 1] - s.lam[i])
            x = s.sigma[i + 1] / s.sigma[i] * math.exp(-eta * h) * x
            x = x - s.alpha[i + 1] * math.expm1(-z) * d[-1]
            if i == 1:
                slope = h / (2 * (s.lam[1] - s.lam[0])) * (d[-1] - d[-2])
                x = x - s.alpha[i + 1] * math.expm1(-z) * slope
            elif i > 1:
                r0, r1 = ((s.lam[i - j] - s.lam[i - j - 1]) / h for j in (0, 1))
                first, second = (d[-1] - d[-2]) / r0, (d[-2] - d[-3]) / r1
                d1 = first + (first - second) * r0 / (r0 + r1)
                d2 = (first - second) / (r0 + r1)
                phi_2 = math.expm1(-z) / z + 1
                phi_3 = phi_2 / z - 0.5
                x = x + s.alpha[i + 1] * (phi_2 * d1 - phi_3 * d2)
            if eta:
                fresh = math.sqrt(-math.expm1(-2 * eta * h)) * next(s.noise)
                x = x + s.sigma[i + 1] * fresh
        return x

    return run


def dpm_solver_pp_2s(s: Loop, x: np.ndarray) -> np.ndarray:
    """Algorithm 1 of Lu et al., arXiv 2211.01095, for pairs of steps; one left over is first."""
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


def dpm_solver(order: int, s: Loop, x: np.ndarray, final: bool = False) -> np.ndarray:
    """Algorithms 1 and 2 of Lu et al., arXiv 2206.00927; steps left over come first.

    Or last, with a last step of order 1.
    """
    finite = s.steps - (s.sigma[-1] == 0)
    left: dict[int, list[int]] = {0: [], 1: [2, 2], 2: [2]} if order == 3 else {0: [], 1: [1]}
    sizes = left[finite % order]
    sizes = sizes + [order] * ((finite - sum(sizes)) // order)
    if final:
        whole, rest = divmod(s.steps - 1, order)
        sizes = [order] * whole + [rest] * (rest > 0) + [1] * (finite == s.steps)
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
        """Return x at the point after i, from p earlier predictions and the one at the end."""
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


def started(order: int, corrector: bool = False) -> Callable[[Loop, np.ndarray], np.ndarray]:
    """Adams-Bashforth in x0 after a start that is corrected; with `corrector`, UniPC-3."""

    def moved(s: Loop, x: np.ndarray, i: int, j: int, known: dict[int, np.ndarray]) -> np.ndarray:
        """Return x at point j from x at point i, by the polynomial through known predictions."""
        nodes = [s.lam[k] for k in known]
        after = s.sigma[j] / s.sigma[i] * x
        for n, value in enumerate(known.values()):
            weight = integrate(
                lagrange(nodes, n), s.lam[i], s.lam[j], lambda at: np.exp(at - s.lam[j])
            )
            after = after + s.alpha[j] * weight * value
        return after

    def line(s: Loop, x: np.ndarray, i: int, known: dict[int, np.ndarray]) -> np.ndarray:
        """Return x after a step of 2M."""
        h, before = s.lam[i + 1] - s.lam[i], s.lam[i] - s.lam[i - 1]
        mixed = known[i] + h / (2 * before) * (known[i] - known[i - 1])
        return s.sigma[i + 1] / s.sigma[i] * x - s.alpha[i + 1] * math.expm1(-h) * mixed

    def run(s: Loop, x: np.ndarray) -> np.ndarray:
        start, d = x, {0: s.x0(x, 0)}
        x = moved(s, x, 0, 1, d)
        d[1] = s.x0(x, 1)
        x = moved(s, start, 0, 1, d)
        if order == 4:
            d[1] = s.x0(x, 1)
        x = line(s, x, 1, d)
        d[2] = s.x0(x, 2)
        if order == 4:
            x = moved(s, start, 0, 2, d)
        for i in range(2, s.steps):
            before = x
            if s.sigma[i + 1] == 0:
                return s.alpha[-1] * d[i]
            x = moved(s, x, i, i + 1, {k: d[k] for k in (i, i - 1, i - 2)})
            if i + 1 < s.steps:
                d[i + 1] = s.x0(x, i + 1)
                if corrector:
                    x = moved(s, before, i, i + 1, {k: d[k] for k in (i + 1, i, i - 1, i - 2)})
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


def deis(order: int, final: bool = False) -> Callable[[Loop, np.ndarray], np.ndarray]:
    """Equation 15 of Zhang and Chen, arXiv 2204.13902, with polynomials in lambda."""

    def run(s: Loop, x: np.ndarray) -> np.ndarray:
        eps: list[np.ndarray] = []
        for i in range(s.steps):
            eps.append(s.eps(x, i))
            if s.sigma[i + 1] == 0:
                return s.alpha[-1] * s.x0(x, i)
            used = min(i + 1, order, s.steps - i if final else order)
            nodes = [s.lam[i - j] for j in range(used)]
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
    """Algorithm 1 of Xue et al., arXiv 2309.05019, eta = tau²; without corrector, DPM-Solver++."""
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
                # The second step of 3M is a step of 2M, with the slope in the middle of the step.
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
        vp = x / math.hypot(s.alpha[i], s.sigma[i])
        denoised = 0.5**2 / (t**2 + 0.5**2) * vp + t / math.hypot(t, 0.5) * s.x0(x, i)
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


def flow_sde(s: Loop, x: np.ndarray) -> np.ndarray:
    """The SDE of Liu et al., arXiv 2505.05470, in x and v of the flow; no noise at the end.

    g is smaller in a long step near t = 1, and where more noise would be taken away than there is.
    """
    a = 0.9
    for i in range(s.steps):
        t, t_next = (s.sigma[j] / (s.alpha[j] + s.sigma[j]) for j in (i, i + 1))
        y, dt = x / (s.alpha[i] + s.sigma[i]), t_next - t
        v = s.eps(x, i) - s.x0(x, i)
        rest = 1 - t if -dt <= 3 * (1 - t) else 1 - t_next - 3 * (1 - t)
        g = min(a * math.sqrt(t / rest), math.sqrt(2 * t * t_next / -dt))
        y = y + (v + g**2 / (2 * t) * (y + (1 - t) * v)) * dt
        if t_next > 0:
            y = y + g * math.sqrt(-dt) * next(s.noise)
        x = y * (s.alpha[i + 1] + s.sigma[i + 1])
    return x


def flow_cps(s: Loop, x: np.ndarray) -> np.ndarray:
    """Coefficients-preserving sampling of Wang and Yu, arXiv 2509.05952, in x and v of the flow."""
    for i in range(s.steps):
        t, t_next = (s.sigma[j] / (s.alpha[j] + s.sigma[j]) for j in (i, i + 1))
        y, v = x / (s.alpha[i] + s.sigma[i]), s.eps(x, i) - s.x0(x, i)
        clean, noise, std = y - t * v, y + (1 - t) * v, t_next * math.sin(0.6 * math.pi / 2)
        y = clean * (1 - t_next) + noise * math.sqrt(t_next**2 - std**2)
        if t_next > 0:
            y = y + std * next(s.noise)
        x = y * (s.alpha[i + 1] + s.sigma[i + 1])
    return x


LOOPS: dict[str, tuple[Any, Callable[[Loop, np.ndarray], np.ndarray]]] = {
    "DPM-Solver++ 2M": (DPMSolverPP(order=2), dpm_solver_pp_2m),
    "DPM-Solver++ SDE-2M": (DPMSolverPP(order=2, eta=1.0), sde_dpm_solver_pp_2m),
    "DPM-Solver++ 2S": (DPMSolverPP(order=2, singlestep=True), dpm_solver_pp_2s),
    "DPM-Solver-2": (DPMSolver(order=2), partial(dpm_solver, 2)),
    "DPM-Solver-3": (DPMSolver(order=3), partial(dpm_solver, 3)),
    "DPM-Solver-2 lower final": (
        DPMSolver(order=2, lower_order_final=True),
        partial(dpm_solver, 2, final=True),
    ),
    "DPM-Solver-3 lower final": (
        DPMSolver(order=3, lower_order_final=True),
        partial(dpm_solver, 3, final=True),
    ),
    "UniPC-1": (UniPC(order=1), unipc("bh2", 1)),
    "UniPC-2": (UniPC(order=2), unipc("bh2", 2)),
    "UniPC-2 bh1": (UniPC(order=2, variant="bh1"), unipc("bh1", 2)),
    "UniPC-3": (UniPC(order=3), unipc("bh2", 3)),
    "UniPC-3 full start": (UniPC(order=3, full_start=True), started(4, corrector=True)),
    "UniP-3 full start": (UniPC(order=3, corrector=False, full_start=True), started(3)),
    "DPM-Solver++ 3M exact full start": (
        DPMSolverPP(order=3, exact=True, full_start=True),
        started(3),
    ),
    "LMS 2": (LMS(order=2), lms(2)),
    "LMS 4": (LMS(), lms(4)),
    "DEIS 2": (DEIS(order=2), deis(2)),
    "DEIS 3": (DEIS(order=3), deis(3)),
    "DEIS 4": (DEIS(order=4), deis(4)),
    "DEIS 3 lower final": (DEIS(order=3, lower_order_final=True), deis(3, final=True)),
    "PNDM": (PNDM(), pndm),
    "Heun": (Heun(), heun),
    "EulerAncestral": (EulerAncestral(), ancestral),
    "DPM-Solver++ 3M": (DPMSolverPP(order=3), dpm_solver_pp_3m(0.0)),
    "DPM-Solver++ SDE-3M": (DPMSolverPP(order=3, eta=1.0), dpm_solver_pp_3m(1.0)),
    "DPM-Solver++ 3M exact": (DPMSolverPP(order=3, exact=True), exponential_adams(3, 0, 0.0)),
    "DPM-Solver++ SDE-3M exact": (
        DPMSolverPP(order=3, eta=1.0, exact=True),
        exponential_adams(3, 0, 1.0),
    ),
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
    "Flow SDE": (FlowSDE(0.9), flow_sde),
    "Flow CPS": (FlowCPS(0.6), flow_cps),
}
