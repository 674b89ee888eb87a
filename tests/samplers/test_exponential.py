"""Weights of exponential integrators."""

from mpmath import mp, mpf

from schedalg import DPMSolverPP, Schedule

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
