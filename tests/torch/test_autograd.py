"""What is left to autograd, its modes and its transforms."""

from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, DPMSolverPP, Heun, Plan, Schedule, UniPC, run, sample, sample_steps

torch = pytest.importorskip("torch")

from tests.torch.tried import network  # noqa: E402

FAST = Schedule.linear(1000).subsample(steps=8)
X = np.random.default_rng(0).standard_normal((2, 3, 4, 5))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_autograd_knows_what_was_written_over(mode: Any) -> None:
    """A network that keeps its input for a gradient gets an error, not another gradient."""
    weight = torch.ones(5, dtype=torch.float64, requires_grad=True)
    for schedule in (FAST, FAST.as_ve()):
        kept: list[Any] = []

        def keeping(x: Any, t: Any, kept: list[Any] = kept) -> Any:
            with torch.enable_grad():
                kept.append((weight * weight * x).sum())
            return network(x, t).detach()

        with mode():
            sample(keeping, schedule, DDIM(), torch.tensor(X))
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            kept[1].backward()


def test_a_gradient_may_begin_at_a_step() -> None:
    for schedule in (FAST, FAST.as_ve()):
        for model in (network, lambda x, t: network(x, t).detach()):
            steps = sample_steps(model, schedule, DPMSolverPP(2), torch.tensor(X))
            next(steps)
            x = next(steps).requires_grad_()
            *_, last = steps
            (gradient,) = torch.autograd.grad(last.sum(), x)
            assert (gradient != 0).all()


def test_transforms_may_be_of_something_else_than_x() -> None:
    x = torch.tensor(X)

    def of_weight(w: Any) -> Any:
        return sample(lambda x, t: w * network(x, t), FAST.as_ve(), UniPC(2), x).sum()

    w = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(of_weight(w), w)
    torch.testing.assert_close(torch.func.grad(of_weight)(w.detach()), expected)


def test_zeros_may_be_a_promise() -> None:
    x = torch.tensor(X)
    promised = torch._efficientzerotensor(X.shape, dtype=torch.float64)
    assert promised.data_ptr() == 0
    result = sample(lambda x, t: promised, FAST, UniPC(2), x)
    torch.testing.assert_close(result, sample(lambda x, t: torch.zeros_like(x), FAST, UniPC(2), x))


def test_autograd_follows_the_loop() -> None:
    weight = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def model(x: Any, timesteps: Any) -> Any:
        return torch.tanh(weight * x)

    start = torch.tensor(X[:1, :1], requires_grad=True)
    for sampler in (DDIM(), UniPC(3), DDPM(), Heun()):

        def image(x: Any, w: Any, sampler: Any = sampler) -> Any:
            return sample(lambda x, t: torch.tanh(w * x), FAST, sampler, x, noise=[3])

        assert torch.autograd.gradcheck(image, (start, weight))
        # The network's parameters alone, from a start that needs no gradient.
        (slope,) = torch.autograd.grad(sample(model, FAST, sampler, start.detach()).sum(), weight)
        h = 1e-6
        with torch.no_grad():
            ends = [
                sample(lambda x, t, w=w: torch.tanh(w * x), FAST, sampler, start, noise=0).sum()
                for w in (weight + h, weight - h)
            ]
        if sampler != DDPM():
            torch.testing.assert_close(slope, (ends[0] - ends[1]) / (2 * h), rtol=1e-5, atol=1e-5)


def test_autograd_may_begin_in_the_middle_of_a_loop() -> None:
    """Steps before it were in place, and their memories are still known."""
    weight = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    x = torch.tensor(X)
    for sampler in (DDIM(), UniPC(3)):
        for scaled in (FAST, FAST.as_ve()):

            def model(x: Any, timesteps: Any) -> Any:
                late = bool(timesteps[0] < 500)
                return torch.tanh((weight if late else weight.detach()) * x)

            with torch.no_grad():
                expected = sample(model, scaled, sampler, x)
            result = sample(model, scaled, sampler, x)
            torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)
            result.sum().backward()
            assert weight.grad is not None
            assert weight.grad != 0


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # within forward_ad
def test_tangents_follow_the_loop() -> None:
    from torch.autograd import forward_ad

    x = torch.tensor(X[:1, :1, :1])
    jacobian = torch.autograd.functional.jacobian(lambda x: sample(network, FAST, UniPC(2), x), x)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones_like(x))
        tangent = forward_ad.unpack_dual(sample(network, FAST, UniPC(2), dual)).tangent
    torch.testing.assert_close(tangent.flatten(), jacobian.reshape(5, 5).sum(1))


def test_noise_may_carry_a_gradient() -> None:
    """That of the start as well, which comes before the first row."""
    plan = DDIM().plan(FAST)
    started = Plan.of(FAST, a=plan.a, b=plan.b, evaluations=None, start=(1.0, 5.0))
    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    x = torch.tensor(X)
    image = run(started, lambda x, t: torch.ones_like(x), x, noise=lambda x: scale * x)
    assert torch.autograd.grad(image.sum(), scale)[0] != 0


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # within torch.func.jvp
def test_transforms_of_functions_follow_the_loop() -> None:
    x = torch.tensor(X)

    def image(x: Any) -> Any:
        return sample(network, FAST, UniPC(2), x, clip=(-9, 9))

    together = torch.vmap(lambda one: image(one[None])[0])(x)
    torch.testing.assert_close(together, image(x), rtol=1e-12, atol=1e-12)
    small = x[:1, :1, :1]
    jacobian = torch.func.jacrev(image)(small).reshape(5, 5)
    tangent = torch.func.jvp(image, (small,), (torch.ones_like(small),))[1].reshape(5)
    torch.testing.assert_close(jacobian.sum(1), tangent)

    def of_weight(w: Any) -> Any:
        return sample(lambda x, t: torch.tanh(w * x), FAST, UniPC(2), small)

    weights = torch.tensor([0.1, 0.2], dtype=torch.float64)
    both = torch.vmap(of_weight)(weights)
    for w, one in zip(weights, both, strict=True):
        torch.testing.assert_close(one, of_weight(w))


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_modes_of_autograd_change_nothing(mode: Any) -> None:
    x = torch.tensor(X)
    expected = sample(network, FAST, UniPC(2), x)
    with mode():
        assert torch.equal(sample(network, FAST, UniPC(2), x), expected)
        steps = list(sample_steps(network, FAST, UniPC(2), x))
    assert torch.equal(steps[-1], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_run_may_leave_the_mode_that_it_began_in(dtype: Any) -> None:
    x = torch.tensor(X).to(dtype)
    for schedule in (FAST, FAST.as_ve()):
        expected = sample(network, schedule, UniPC(3), x)
        steps = sample_steps(network, schedule, UniPC(3), x)
        with torch.inference_mode():
            next(steps)
        assert torch.equal(list(steps)[-1], expected)
