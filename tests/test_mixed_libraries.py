"""Arrays of two libraries in one call are named."""

import pytest

from schedalg import DDIM, DDPM, Schedule, sample
from tests.bad_input import LINEAR, X, network


def test_mixed_libraries_are_named() -> None:
    torch = pytest.importorskip("torch")
    tensors = Schedule.from_betas(torch.tensor([0.1, 0.2]))
    x = torch.ones(2, 3)
    for call in (
        lambda: Schedule.from_betas([0.1, 0.2]).compose(tensors),
        lambda: sample(network, tensors, DDIM(), X),
        lambda: LINEAR.add_noise(X, x.double(), 0),
        lambda: LINEAR.add_noise(X, X, torch.tensor([1, 2])),
        lambda: sample(network, LINEAR, DDPM(), X, noise=lambda x: torch.ones(2, 3)),
    ):
        with pytest.raises(TypeError, match=r"ndarray.*Tensor"):
            call()
    for k in (-1, 10):
        with pytest.raises(ValueError, match=r"k\[1\].*0 to 9"):
            LINEAR.add_noise(x, x, torch.tensor([0, k]))
