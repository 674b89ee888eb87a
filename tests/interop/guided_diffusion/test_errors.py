"""Wrong arguments, networks and gradients are errors that name what is wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from schedalg.interop.guided_diffusion import (
    LossType,
    ModelMeanType,
    ModelVarType,
    SpacedDiffusion,
    betas_for_alpha_bar,
    get_named_beta_schedule,
    space_timesteps,
)
from tests.interop.guided_diffusion.textbook import LINEAR, SHAPE, network, process, start


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        ("0", ValueError, r"section_counts is '0': sections\[0\] must be at least 1, got 0"),
        ([5, -1], ValueError, r"section_counts is \[5, -1\]: sections\[1\] must be at least 1"),
        ([], ValueError, r"section_counts is \[\]: sections is empty"),
        ("", ValueError, "section_counts is ''"),
        ("501,2", ValueError, r"sections\[0\] is 501: section 0 of 1000 points holds 500"),
        ("ddim400", ValueError, "'ddim400': no whole stride takes 400 of 1000 points"),
        ("ddim0", ValueError, "'ddim0': no whole stride takes 0 of 1000"),
        ("fast", ValueError, "'10,15,20', or 'ddimN'; got 'fast'"),
        ([2.5], TypeError, r"sections\[0\] must be an integer, got 2.5"),
    ],
)
def test_wrong_sections(counts: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        space_timesteps(1000, counts)


@pytest.mark.parametrize(
    ("use_timesteps", "error", "message"),
    [
        ([0, 1000], ValueError, r"use_timesteps\[1\] is 1000: allowed are 0 to 999"),
        ([-1, 5], ValueError, r"use_timesteps\[0\] is -1: allowed are 0 to 999"),
        ([], ValueError, "use_timesteps is empty: at least one timestep is needed"),
        ("ddim25", TypeError, "must be a collection of integers, got 'ddim25'; space_timesteps"),
        (25, TypeError, "must be a collection of integers, got 25"),
        ([0.5], TypeError, "each of use_timesteps must be an integer, got 0.5"),
        ([True, False], TypeError, "each of use_timesteps must be an integer, got"),
    ],
)
def test_wrong_timesteps(use_timesteps: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SpacedDiffusion(
            use_timesteps,
            betas=LINEAR,
            model_mean_type=ModelMeanType.EPSILON,
            model_var_type=ModelVarType.FIXED_SMALL,
            loss_type=LossType.MSE,
        )


def refuses(error: type[Exception], message: str, call: Callable[[], object]) -> None:
    with pytest.raises(error, match=message):
        call()


def test_wrong_settings() -> None:
    wrong: Any = "huber"
    refuses(
        ValueError,
        "model_mean_type must be one of ModelMeanType.PREVIOUS_X, .*'velocity'; got 'huber'",
        lambda: process(mean=wrong),
    )
    number: Any = 3
    refuses(TypeError, "model_mean_type must be one of .*; got 3", lambda: process(mean=number))
    refuses(ValueError, "model_var_type must be one of", lambda: process(var=wrong))
    refuses(ValueError, "loss_type must be one of LossType.MSE", lambda: process(loss=wrong))
    refuses(TypeError, "rescale_timesteps must be True or Fal", lambda: process(rescale=wrong))
    refuses(ValueError, r"betas\[1\] is 1.5: betas must be in", lambda: process(betas=[0.1, 1.5]))
    refuses(ValueError, r"betas\[0\] is 1.0: betas must be", lambda: process(betas=[1.0, 0.5]))
    refuses(ValueError, r"betas\[1\] is 0.0", lambda: process(betas=[0.1, 0.0]))
    refuses(ValueError, "betas must be 1-D, got shape", lambda: process(betas=[[0.1]]))
    refuses(ValueError, "betas is empty", lambda: process(betas=[]))
    name = "schedule_name must be 'linear', 'cosine' or 'squaredcos_cap_v2'; got 'sqrt'"
    refuses(ValueError, name, lambda: get_named_beta_schedule("sqrt", 10))
    few = "num_diffusion_timesteps is 10: 'linear' needs at least 20"
    refuses(ValueError, few, lambda: get_named_beta_schedule("linear", 10))
    least = "num_diffusion_timesteps must be at least 1, got 0"
    refuses(ValueError, least, lambda: get_named_beta_schedule("cosine", 0))
    refuses(ValueError, least, lambda: betas_for_alpha_bar(0, lambda t: 1 - t))
    refuses(ValueError, "it must fall", lambda: betas_for_alpha_bar(5, lambda t: 1.0))


def test_wrong_inputs() -> None:
    diffusion, model, x = process("8"), network(), start()
    t, y = torch.tensor([1, 2]), torch.zeros(2)
    step, q = diffusion.p_mean_variance, diffusion.q_sample
    refuses(ValueError, r"t\[1\] is 8: positions are 0 to 7", lambda: q(x, t + 6))
    refuses(ValueError, r"t\[0\] is -1: positions", lambda: step(model, x, t - 2))
    refuses(ValueError, r"t must have shape \(2,\), one", lambda: q(x, torch.tensor([1, 2, 3])))
    refuses(TypeError, "t must hold integers, got", lambda: q(x, y))
    refuses(TypeError, "t must be a torch tensor of integers", lambda: q(x, np.array([1, 2])))
    refuses(TypeError, "x_start must be a torch tensor, got shape", lambda: q(x.numpy(), t))
    refuses(TypeError, "x_start must be of a real floating-point dtype", lambda: q(x.long(), t))
    refuses(ValueError, "x_start must have a batch dimension", lambda: q(torch.tensor(1.0), t))
    refuses(ValueError, r"x must have shape \(B, C, ...\), got \(2,\)", lambda: step(model, y, t))
    refuses(ValueError, r"noise must have shape \(2, 3, 8, 8\)", lambda: q(x, t, x[:1]))
    refuses(TypeError, "noise must be a torch tensor", lambda: q(x, t, x.numpy()))
    refuses(
        TypeError,
        "model_kwargs must be a mapping, got function",
        lambda: diffusion.ddim_reverse_sample(model, x, t, True, None, lambda x, t: x),
    )
    train = diffusion.training_losses
    refuses(ValueError, "noise must have shape", lambda: train(model, x, t, noise=x[:1]))
    refuses(ValueError, r"x_start must have shape \(B, C, ...\)", lambda: train(model, y, t))
    posterior = diffusion.q_posterior_mean_variance
    refuses(ValueError, "x_start must have shape", lambda: posterior(x[:1], x, t))
    refuses(TypeError, "model must be callable, got NoneType", lambda: step(None, x, t))


def test_wrong_networks() -> None:
    diffusion, x, t = process("8"), start(), torch.tensor([1, 2])
    step = diffusion.p_mean_variance
    message = r"output must have shape \(2, 6, 8, 8\) with ModelVarType.LEARNED_RANGE, got \(2, 3"
    refuses(ValueError, message, lambda: step(lambda x, t: x, x, t))
    refuses(ValueError, message, lambda: diffusion.training_losses(lambda x, t: x, x, t))
    refuses(TypeError, "model must return a torch tensor", lambda: step(lambda x, t: None, x, t))
    fixed = process("8", var=ModelVarType.FIXED_SMALL)
    message = r"shape \(2, 3, 8, 8\) with ModelVarType.FIXED_SMALL, got \(2, 6, 8, 8\)"
    refuses(ValueError, message, lambda: fixed.p_mean_variance(network(), x, t))
    message = r"what denoised_fn returns must have shape \(2, 3, 8, 8\), got \(1, 3, 8, 8\)"
    refuses(ValueError, message, lambda: step(network(), x, t, denoised_fn=lambda x0: x0[:1]))

    def bad(x: Any, t: Any) -> Any:
        return x[:, :1]

    message = r"what cond_fn returns must have shape \(2, 3, 8, 8\), got \(2, 1, 8, 8\)"
    refuses(ValueError, message, lambda: diffusion.p_sample(network(), x, t, cond_fn=bad))
    refuses(ValueError, message, lambda: diffusion.ddim_sample(network(), x, t, cond_fn=bad))


def test_wrong_loops() -> None:
    diffusion, model, x = process("8"), network(), start()
    t = torch.tensor([1, 2])
    loop: Any = diffusion.p_sample_loop
    refuses(TypeError, "shape must be a tuple or a list of integers, got 4", lambda: loop(model, 4))
    message = r"noise must have shape \(1, 3, 8, 8\), got \(2, 3, 8, 8\)"
    refuses(ValueError, message, lambda: loop(model, [1, 3, 8, 8], noise=x))
    message = "device is None, and the model has no parameters to take it from"
    refuses(ValueError, message, lambda: loop(lambda x, t: x, SHAPE))
    refuses(TypeError, "noise must be a torch tensor", lambda: loop(model, SHAPE, x.numpy()))
    ddim, reverse = diffusion.ddim_sample, diffusion.ddim_reverse_sample
    refuses(ValueError, r"eta must be in \[0, 1\], got 1.5", lambda: ddim(model, x, t, eta=1.5))
    refuses(ValueError, "eta must be 0: only the", lambda: reverse(model, x, t, eta=0.5))


def test_freed_memory_is_not_read() -> None:
    diffusion, model, x = process("8"), network(), start()
    t, freed = torch.tensor([1, 2]), torch.ones_like(x)
    freed.untyped_storage().resize_(0)
    message = "its storage holds only 0 bytes: it was resized"
    refuses(ValueError, message, lambda: diffusion.q_sample(freed, t))
    refuses(ValueError, message, lambda: diffusion.q_sample(x, t, noise=freed))
    refuses(ValueError, message, lambda: diffusion.p_sample(model, freed, t))
    refuses(ValueError, message, lambda: diffusion.p_sample_loop(model, SHAPE, noise=freed))


def test_flags_are_true_or_false() -> None:
    diffusion, model, x = process("8"), network(), start()
    message = "clip_denoised must be True or False, got 'no'"
    step: Any = diffusion.p_mean_variance
    refuses(TypeError, message, lambda: step(model, x, torch.tensor([1, 2]), clip_denoised="no"))
