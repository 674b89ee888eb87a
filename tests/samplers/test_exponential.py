"""Weights of exponential integrators."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from mpmath import mp, mpf

from schedalg import DPMSolverPP, SASolver, Schedule
from schedalg.samplers.multistep import solve
from schedalg.samplers.phi import phi, phis

mp.dps = 60


def test_weights_are_exact_where_old_points_are_close_together() -> None:
    """Against 60 digits: the old nodes are a thousandth of a step apart."""
    log_snr = [9, 8.999, 5, 4.9999, 1, 0.99999, -3, -3.0001, -6, -7, -7.001, -9]
    schedule = Schedule.from_log_snr(log_snr)[1:]
    plan = DPMSolverPP(order=3, exact=True).plan(schedule)
    lam = [mpf(v) / 2 for v in reversed(log_snr)]
    for row in range(2, len(plan)):
        h = lam[row + 1] - lam[row]
        nodes = [lam[row - j] - lam[row] for j in range(3)]
        rise = -mp.expm1(-h)
        moments = [rise, h - rise, h**2 - 2 * (h - rise)]
        for j, node in enumerate(nodes):
            one, two = (other for k, other in enumerate(nodes) if k != j)
            weight = moments[2] - (one + two) * moments[1] + one * two * moments[0]
            weight *= plan.schedule.alpha[::-1][row + 1] if row + 1 < 11 else schedule.origin.alpha
            weight /= (node - one) * (node - two)
            assert abs(plan.b[row, j] - weight) <= 4e-15 * abs(weight), (row, j)


def test_phi_is_right_near_0_and_far_from_it() -> None:
    """Each k by itself and all at once, against the recursion in 60 digits."""
    z = np.array([-40.0, -7.3, -3.0000001, -3.0, -0.7, -1e-9, 1e-12, 0.4, 2.9, 3.1, 20.0])
    expected = [mp.expm1(mpf(value)) / mpf(value) for value in z.tolist()]
    columns = phis(np, (1, 2, 3, 4), z)
    for k, column in enumerate(columns, 1):
        for value, one, true in zip(column, phi(np, k, z), expected, strict=True):
            assert value == one
            assert abs(value - true) <= 4e-15 * abs(true), k
        expected = [
            (true - 1 / mp.factorial(k)) / mpf(value)
            for true, value in zip(expected, z.tolist(), strict=True)
        ]
    # Where no argument is far from 0, only the series is summed, to the same bits.
    near = np.abs(z) <= 3
    for column, alone in zip(columns, phis(np, (1, 2, 3, 4), z[near]), strict=True):
        np.testing.assert_array_equal(column[near], alone)


@pytest.mark.parametrize(
    ("count", "start"), [(count, start) for count in (1, 2, 3, 4) for start in range(count)]
)
def test_weights_solve_for_the_moments(count: int, start: int) -> None:
    """In fractions, without an error: Σ_j w_j node_j^i = moment i."""
    draw = np.random.default_rng(count).integers(1, 2**10, (2 * count, 5)) / 2**8
    gaps, moments = list(draw[: count - 1]), list(draw[count:])
    weights = solve(gaps, moments, start)
    assert weights.shape == (count, 5)
    for n in range(5):
        back = [sum((Fraction(gap[n]) for gap in gaps[:j]), Fraction(0)) for j in range(count)]
        nodes = [back[start] - distance for distance in back]
        for i, moment in enumerate(moments):
            terms = [Fraction(w) * node**i for w, node in zip(weights[:, n], nodes, strict=True)]
            assert abs(sum(terms) - Fraction(moment[n])) <= 1e-13 * sum(map(abs, terms))


@pytest.mark.parametrize("tau", [1.0, 1.5, 30.0, 1000.0])
def test_what_strong_noise_leaves_of_x_is_exact_in_short_steps(tau: float) -> None:
    """e^(-tau² h), whose power of e^-h would multiply the rounding of that by tau²."""
    log_snr = 4 - 2 * np.cumsum([0, 0.5, 1e-3, 3e-6, 1e-6, 2.0])
    schedule = Schedule.from_log_snr(log_snr)
    plan = SASolver(order=1, corrector_order=0, tau=tau).plan(schedule)
    lam = [mpf(v) / 2 for v in reversed(log_snr.tolist())]
    for row, (t, s) in enumerate(pairwise(lam)):
        sigma_t, sigma_s = (1 / mp.sqrt(1 + mp.exp(2 * v)) for v in (t, s))
        h = s - t
        exact = sigma_s / sigma_t * mp.exp(-(mpf(tau) ** 2) * h)
        # The exponent is rounded.
        allowed = 2.0**-52 * (4 + 2 * tau**2 * float(h))
        assert abs(plan.a[row] - exact) <= allowed * exact + mpf("1e-300"), row
    assert plan.a[-1] == 0
