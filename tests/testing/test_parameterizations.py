"""The check of parameterizations finds wrong ones."""

import pytest

from schedalg import Parameterization, Schedule, edm
from schedalg.testing import check_parameterization


def test_wrong_parameterizations_are_found() -> None:
    wrong = Parameterization(
        lambda alpha, sigma: 1 / alpha,
        lambda alpha, sigma: -sigma / alpha,
        weights=lambda alpha, sigma: (0.1, 1.0),
    )
    with pytest.raises(AssertionError):
        check_parameterization(wrong)
    check_parameterization("v", Schedule.flow(10))
    check_parameterization(edm(0.2))
