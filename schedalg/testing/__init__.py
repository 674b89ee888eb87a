"""Checks for authors of samplers, parameterizations and backends.

The checks raise AssertionError; `check_sampler` runs all that hold for any sampler. `Mixture` is
data with a known optimal network and a known flow. Hypothesis strategies for schedules and subsets
are in `schedalg.testing.strategies`, which needs hypothesis (`pip install 'schedalg[testing]'`).
"""

from schedalg.testing.backends import check_backend
from schedalg.testing.data import Mixture
from schedalg.testing.measures import measured_order, variance_after
from schedalg.testing.parameterizations import check_parameterization
from schedalg.testing.samplers import (
    check_arrays,
    check_marginals,
    check_order,
    check_recovery,
    check_respacing,
    check_sampler,
    check_scales,
    check_table,
    check_threads,
    check_variance,
)

__all__ = [
    "Mixture",
    "check_arrays",
    "check_backend",
    "check_marginals",
    "check_order",
    "check_parameterization",
    "check_recovery",
    "check_respacing",
    "check_sampler",
    "check_scales",
    "check_table",
    "check_threads",
    "check_variance",
    "measured_order",
    "variance_after",
]
