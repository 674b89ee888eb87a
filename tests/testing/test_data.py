"""`Mixture`: data with a known flow."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import Schedule
from schedalg.testing import Mixture
from tests.bad_input import check_named


def test_mixtures_flow_by_quantiles() -> None:
    """Two equal Gaussians are one; the flow there and back is the identity."""
    one, two = Mixture([0.3], [0.5]), Mixture([0.3, 0.3], [0.5, 0.5], [0.2, 0.8])
    schedule = Schedule.linear(1000)
    x = np.linspace(-2, 2, 9)[None, :]
    s, t = schedule[100], schedule[700]
    np.testing.assert_allclose(two.flow(x, t, s), one.flow(x, t, s), atol=1e-13)
    np.testing.assert_allclose(two.expectation(x, t), one.expectation(x, t), rtol=1e-13)
    peaks = Mixture([-0.8, 0.5], [0.25, 0.4], [0.4, 0.6])
    np.testing.assert_allclose(peaks.flow(peaks.flow(x, t, s), s, t), x, atol=1e-11)
    assert peaks.marginal_std(s) ** 2 == pytest.approx(
        s.alpha**2 * (0.4 * 0.25**2 + 0.6 * 0.4**2 + 0.24 * 1.3**2) + s.sigma**2
    )


#: A call, the error that it raises, and words that the message must contain.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "mixture": (lambda: Mixture([0.0], [-1.0]), ValueError, ["spreads", "-1.0"]),
    "mixture weights": (
        lambda: Mixture([0.0, 1.0], [1.0, 1.0], [0.5, 0.6]),
        ValueError,
        ["weights", "sum to 1"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
