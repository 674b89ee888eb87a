"""Overridden methods are called, and what would have no effect is an error."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from schedalg.interop.guided_diffusion import LossType, ModelMeanType, ModelVarType, SpacedDiffusion
from tests.interop.guided_diffusion.textbook import (
    LINEAR,
    SHAPE,
    close,
    images,
    network,
    process,
    start,
)

KINDS: dict[str, Any] = {
    "betas": LINEAR,
    "model_mean_type": ModelMeanType.EPSILON,
    "model_var_type": ModelVarType.LEARNED_RANGE,
    "loss_type": LossType.MSE,
}


def test_what_a_subclass_overrides_is_called() -> None:
    calls: list[str] = []

    class Mine(SpacedDiffusion):
        def q_sample(self, x_start: Any, t: Any, noise: Any = None) -> Any:
            calls.append("q_sample")
            return super().q_sample(x_start, t, noise)

        def q_posterior_mean_variance(self, x_start: Any, x_t: Any, t: Any) -> Any:
            calls.append("posterior")
            return super().q_posterior_mean_variance(x_start, x_t, t)

        def p_sample_loop_progressive(  # type: ignore[override]  # with keywords alone
            self, model: Any, shape: Any, **kwargs: Any
        ) -> Any:
            calls.append("p loop")
            yield from super().p_sample_loop_progressive(model, shape, **kwargs)

        def ddim_sample_loop_progressive(  # type: ignore[override]
            self, model: Any, shape: Any, **kwargs: Any
        ) -> Any:
            calls.append("ddim loop")
            yield from super().ddim_sample_loop_progressive(model, shape, **kwargs)

    mine, plain, model, x = Mine([0, 500], **KINDS), process([0, 500]), network(), start()
    t = torch.tensor([0, 1])
    runs: list[tuple[Callable[[Any], Any], set[str]]] = [
        (lambda d: d.p_sample_loop(model, SHAPE, noise=x), {"p loop", "posterior"}),
        (lambda d: d.ddim_sample_loop(model, SHAPE, noise=x), {"ddim loop", "posterior"}),
        (lambda d: d.training_losses(model, images(), t)["loss"], {"q_sample", "posterior"}),
        (lambda d: d.calc_bpd_loop(model, images())["total_bpd"], {"q_sample", "posterior"}),
    ]
    for run, expected in runs:
        calls.clear()
        torch.manual_seed(0)
        result = run(mine)
        assert set(calls) == expected
        torch.manual_seed(0)
        close(result, run(plain))


STEP = {
    "_wrap_model",
    "_scale_timesteps",
    "_predict_xstart_from_eps",
    "p_mean_variance",
    "q_posterior_mean_variance",
}
BOUND = {*STEP, "q_sample", "_vb_terms_bpd"}
#: The methods that each entry calls.
CALLED = {
    "p_sample_loop": {*STEP, "p_sample_loop_progressive", "p_sample", "condition_mean"},
    "ddim_sample_loop": {
        *STEP,
        "_predict_eps_from_xstart",
        "ddim_sample_loop_progressive",
        "ddim_sample",
        "condition_score",
    },
    "training_losses": BOUND,
    "calc_bpd_loop": {*BOUND, "_predict_eps_from_xstart", "_prior_bpd", "q_mean_variance"},
}


def test_methods_call_one_another_as_methods() -> None:
    calls: set[str] = set()

    def recorded(name: str) -> Callable[..., Any]:
        inherited = getattr(SpacedDiffusion, name)

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            calls.add(name)
            return inherited(self, *args, **kwargs)

        return method

    names = set().union(*CALLED.values())
    mine = type("Mine", (SpacedDiffusion,), {name: recorded(name) for name in names})
    diffusion, model = mine([0, 500], **KINDS), network()
    guided = {"noise": start(), "cond_fn": lambda x, t: x}
    arguments: dict[str, tuple[Any, dict[str, Any]]] = {
        "p_sample_loop": (SHAPE, guided),
        "ddim_sample_loop": (SHAPE, guided),
        "training_losses": (images(), {"t": torch.tensor([0, 1])}),
        "calc_bpd_loop": (images(), {}),
    }
    for entry, (second, others) in arguments.items():
        calls.clear()
        getattr(diffusion, entry)(model, second, **others)
        assert calls == CALLED[entry]


def test_what_would_not_be_read_is_an_error() -> None:
    diffusion = process("5")
    for name in ("betas", "timestep_map", "rescale_timesteps", "posterior_variance", "schedule"):
        with pytest.raises(AttributeError, match=f"{name} is fixed when a process is made"):
            setattr(diffusion, name, getattr(diffusion, name))
    diffusion.loss_type = LossType.KL  # is used when it is needed, so it can be changed
