"""Plans against loops written out from the papers, in `tests/samplers/loops.py`."""

import numpy as np
import pytest

from schedalg import Schedule, sample
from tests.samplers.loops import LOOPS, Loop, network

X = np.random.default_rng(5).standard_normal((3, 4))
STEPS = Schedule.linear(1000).subsample(steps=9, spacing="linspace")
PATHS = {
    "to clean data": STEPS,
    "to a noisy origin": STEPS[1:],
    "even in log-SNR": Schedule.from_log_snr(np.linspace(4, -6, 10))[1:],
    "scaled ve": STEPS[:8].as_ve(),
}
EVERY_PATH = pytest.mark.parametrize("path", [pytest.param(s, id=n) for n, s in PATHS.items()])
NOISE = np.random.default_rng(6).standard_normal((40, 3, 4))


@EVERY_PATH
@pytest.mark.parametrize("name", LOOPS)
def test_a_table_does_what_the_paper_s_loop_does(name: str, path: Schedule) -> None:
    sampler, loop = LOOPS[name]
    draws = iter(NOISE)
    result = sample(network, path, sampler, X, noise=lambda x: next(draws))
    expected = loop(Loop(path), X)
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9)
