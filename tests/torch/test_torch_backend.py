"""What the torch backend takes, leaves alone, and refuses."""

import re
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, Schedule, TimestepRemap, UniPC, sample, sample_steps

torch = pytest.importorskip("torch")

from tests.torch.tried import network  # noqa: E402

FAST = Schedule.linear(1000).subsample(steps=8)
X = np.random.default_rng(0).standard_normal((2, 3, 4, 5))


def test_a_default_device_is_left_alone() -> None:
    x = torch.tensor(X)
    expected = sample(network, FAST, UniPC(3), x, noise=3)
    with torch.device("meta"):
        assert torch.equal(sample(network, FAST, UniPC(3), x, noise=3), expected)


def test_arguments_are_checked_before_the_first_step() -> None:
    with pytest.raises(ValueError, match="x is on the device meta"):
        sample_steps(network, FAST, DDIM(), torch.ones(2, 3, device="meta"))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (lambda: torch.ones(2, 3).to(torch.float8_e5m2), TypeError, "x must be of"),
        (lambda: torch.ones(2, 3, device="meta"), ValueError, "x is on the device meta"),
        (lambda: torch.ones(2, 3).to_sparse(), ValueError, "x must be strided, got layout"),
        (lambda: torch.ones(2, 3).to_mkldnn(), ValueError, "x must be strided, got layout"),
        (lambda: torch.nested.nested_tensor([torch.ones(3)] * 2), ValueError, "x is a nested"),
    ],
)
def test_tensors_that_cannot_be_run_are_named(x: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        sample(lambda x, t: x, FAST, DDIM(), x())


@pytest.mark.parametrize("sparse", [torch.Tensor.to_sparse, torch.Tensor.to_mkldnn])
def test_tensors_that_are_not_strided_are_named(sparse: Any) -> None:
    x = torch.ones(2, 3)
    k: Any = torch.tensor([0, 1])
    cases: list[tuple[str, Any]] = [
        ("model output at timestep 999", lambda: sample(lambda x, t: sparse(x), FAST, DDIM(), x)),
        ("x0 returned by clip", lambda: sample(network, FAST, DDIM(), x, clip=sparse)),
        ("what noise returns", lambda: sample(network, FAST, DDPM(), x, noise=sparse)),
        ("noise", lambda: FAST.add_noise(x, sparse(x), k)),
        ("k", lambda: FAST.add_noise(x, x, k.to_sparse())),
    ]
    for what, call in cases:
        with pytest.raises(ValueError, match=f"^{what} must be strided, got layout"):
            call()


def test_devices_and_libraries_that_differ_are_named() -> None:
    x = torch.ones(2, 3)
    with pytest.raises(ValueError, match="must be on x's device: expected cpu, got meta"):
        sample(lambda x, t: torch.ones(2, 3, device="meta"), FAST, DDIM(), x)
    with pytest.raises(
        TypeError, match=r"must be of x's library: expected torch\.Tensor, got numpy"
    ):
        sample(lambda x, t: x.numpy(), FAST, DDIM(), x)
    with pytest.raises(ValueError, match="what noise returns must be on x's device"):
        sample(network, FAST, DDPM(), x, noise=lambda x: torch.ones(2, 3, device="meta"))
    remapped = TimestepRemap(lambda x, t: t, FAST)
    with pytest.raises(ValueError, match="k must be on x's device or on the CPU: x is on cpu"):
        remapped(x, torch.zeros(2, dtype=torch.int64, device="meta"))
