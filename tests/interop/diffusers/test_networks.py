"""`network`: models of diffusers as networks, and what is said of one that was not wrapped."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, Heun, Schedule, sample
from schedalg.interop.diffusers import Network, network
from schedalg.interop.k_diffusion import Denoised

SCHEDULE = Schedule.linear(1000).subsample(steps=4, spacing="trailing")
X = np.random.default_rng(0).standard_normal((2, 3, 4, 4))


def plain(x: Any, timesteps: Any) -> Any:
    return 0.1 * x + 1e-4 * timesteps.reshape(-1, 1, 1, 1)


def test_the_model_is_called_with_the_timestep_by_name() -> None:
    """Its place among the arguments differs, as between UNet2DModel and SD3's transformer."""

    def model(hidden_states: Any, prompt: Any = None, timestep: Any = None, **rest: Any) -> Any:
        assert rest == {"return_dict": False}
        return plain(hidden_states, timestep) + prompt, "attention maps"

    result = sample(network(model), SCHEDULE, DDIM(), X, prompt=0.5)
    expected = sample(lambda x, t: plain(x, t) + 0.5, SCHEDULE, DDIM(), X)
    np.testing.assert_array_equal(result, expected)
    assert network(plain) == Network(plain)


def test_a_learned_variance_goes_to_the_samplers_that_use_it() -> None:
    def both(x: Any, timesteps: Any) -> Any:
        return np.concatenate([plain(x, timesteps), np.tanh(x)], axis=1)

    def model(x: Any, timestep: Any, return_dict: bool) -> Any:
        return (both(x, timestep),)

    for sampler in (DDPM("learned_range"), DDIM()):
        result = sample(network(model), SCHEDULE, sampler, X, noise=1)
        np.testing.assert_array_equal(result, sample(both, SCHEDULE, sampler, X, noise=1))
    fixed = sample(network(model), SCHEDULE, DDIM(), X)
    np.testing.assert_array_equal(fixed, sample(plain, SCHEDULE, DDIM(), X))


@pytest.mark.parametrize("sampler", [DDIM(), Heun()])
@pytest.mark.parametrize(
    ("wrapped", "name"),
    [
        (lambda array: (array,), "tuple"),
        (lambda array: [array], "list"),
        (lambda array: {"sample": array}, "dict"),
        (lambda array: SimpleNamespace(sample=array), "SimpleNamespace"),
    ],
)
def test_an_output_inside_of_something_is_an_error_that_says_how(
    wrapped: Any, name: str, sampler: Any
) -> None:
    with pytest.raises(
        TypeError, match=rf"model output at timestep 999 is a \S*{name}, not an arr"
    ):
        sample(lambda x, t: wrapped(plain(x, t)), SCHEDULE, sampler, X)
    with pytest.raises(TypeError, match=r"schedalg\.interop\.diffusers\.network\(model\)"):
        sample(lambda x, t: wrapped(plain(x, t)), SCHEDULE, sampler, X)
    denoised = Denoised(lambda x, t: wrapped(plain(x, t)), SCHEDULE)
    with pytest.raises(TypeError, match=rf"model output is a \S*{name}, not an array"):
        denoised(X, 1.0)
    with pytest.raises(TypeError, match="model must be callable"):
        network(wrapped(3))


def test_a_real_model() -> None:
    torch = pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    ).eval()
    x = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        with pytest.raises(TypeError, match="UNet2DOutput, not an array"):
            sample(unet, SCHEDULE, DDIM(), x)
        result = sample(network(unet), SCHEDULE, DDIM(), x)
        expected = sample(lambda x, t: unet(x, t).sample, SCHEDULE, DDIM(), x)
    torch.testing.assert_close(result, expected)
