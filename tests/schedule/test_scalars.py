"""Numbers whose gradient is followed: what it is, and that none is lost without a word."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import schedalg
from schedalg import DDIM, Schedule, edm, switch
from tests.bad_input import DENOISER, check_named

#: What is differentiated, by a number, and where.
NUMBERS: dict[str, tuple[Callable[[Any], Schedule], float]] = {
    "shift": (lambda v: Schedule.linear(7).shift(v), 1.7),
    "shift by 1": (lambda v: Schedule.linear(12).shift(v), 1.0),
    "shift of a flow": (lambda v: Schedule.flow(6).shift(v), 3.0),
    "shift of a subset": (lambda v: Schedule.linear(40).subsample(steps=4).shift(v), 2.0),
    "flow": (lambda v: Schedule.flow(6, shift=v), 3.0),
    "sigma_min": (lambda v: Schedule.karras(5, sigma_min=v), 0.1),
    "sigma_max": (lambda v: Schedule.karras(7, sigma_max=v), 20.0),
    "rho": (lambda v: Schedule.karras(5, rho=v), 7.0),
    "exponential": (lambda v: Schedule.exponential(5, sigma_max=v), 20.0),
    "polyexponential": (lambda v: Schedule.polyexponential(5, rho=v), 1.5),
    "beta_start": (lambda v: Schedule.linear(5, beta_start=v), 1e-3),
    "beta_end": (lambda v: Schedule.linear(5, beta_end=v), 0.2),
    "scaled_linear": (lambda v: Schedule.scaled_linear(5, beta_end=v), 0.2),
    "sigmoid": (lambda v: Schedule.sigmoid(5, beta_start=v), 0.01),
    "offset": (lambda v: Schedule.cosine(5, s=v), 0.05),
    "max_beta": (lambda v: Schedule.cosine(5, max_beta=v), 0.9),
    "laplace": (lambda v: Schedule.laplace(6, max_beta=v), 0.1),
    "exp": (lambda v: Schedule.exp(6, max_beta=v), 0.4),
    "alpha_bar": (lambda v: Schedule.from_alpha_bar(lambda t: 1 - v * t, 4), 0.9),
    "largest of alpha_bar": (
        lambda v: Schedule.from_alpha_bar(lambda t: 1 - 0.9 * t, 4, max_beta=v),
        0.5,
    ),
}
EVERY = pytest.mark.parametrize("name", NUMBERS)


def log_snr(schedule: Schedule) -> Any:
    """Return the log-SNR of all points but the last, which may be pure noise."""
    return schedule.to_log_snr()[:-1]


def differences(make: Callable[[Any], Schedule], at: float) -> np.ndarray:
    """Return the derivative, by differences of two orders."""

    def slope(step: float) -> np.ndarray:
        up, down = (np.asarray(log_snr(make(at + h))) for h in (step, -step))
        return (up - down) / (2 * step)

    step = 2e-4 * at
    return (4 * slope(step / 2) - slope(step)) / 3


@EVERY
def test_torch_follows_a_number(name: str) -> None:
    torch = pytest.importorskip("torch")
    make, at = NUMBERS[name]
    number = torch.tensor(at, dtype=torch.float64)
    schedule = make(number.clone().requires_grad_())
    assert schedule.log_alpha_bar.high.requires_grad
    assert schedule.kind == make(at).kind
    np.testing.assert_allclose(log_snr(schedule).detach(), log_snr(make(at)), rtol=1e-15)
    slope = torch.autograd.functional.jacobian(lambda v: log_snr(make(v)), number)
    np.testing.assert_allclose(slope, differences(make, at), rtol=1e-8, atol=1e-9)
    # A tensor without a gradient is a number.
    assert make(number) == make(at)
    assert isinstance(make(number).alpha, np.ndarray)


@pytest.mark.parametrize("name", ["shift", "sigma_max"])
def test_jax_follows_a_number(name: str) -> None:
    jax = pytest.importorskip("jax")
    make, at = NUMBERS[name]
    with jax.enable_x64():
        number, one = jax.numpy.asarray(at), jax.numpy.asarray(1.0)
        _, slope = jax.jvp(lambda v: log_snr(make(v)), (number,), (one,))
        np.testing.assert_allclose(slope, differences(make, at), rtol=1e-8, atol=1e-9)


def test_a_schedule_of_one_library_is_not_shifted_by_another() -> None:
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    betas = torch.tensor([0.1, 0.2], requires_grad=True)

    def shifted(v: Any) -> Any:
        return Schedule.from_betas(betas).shift(v).to_log_snr().sum()

    with pytest.raises(TypeError, match="one library"):
        jax.grad(shifted)(2.0)


def _callables() -> dict[str, Callable[..., Any]]:
    """Return every public function, class and method of schedules."""
    found = {name: getattr(schedalg, name) for name in schedalg.__all__}
    found = {name: value for name, value in found.items() if callable(value)}
    methods = inspect.getmembers(Schedule, callable)
    return found | {f"Schedule.{name}": m for name, m in methods if not name.startswith("_")}


#: How a call is made valid but for one number.
OTHERS: dict[str, dict[str, Any]] = {
    "Schedule.at": {"schedule": Schedule.linear(10)},
    "Schedule.shift": {"schedule": Schedule.linear(10)},
    "Schedule.from_alpha_bar": {"alpha_bar": lambda t: 1 - 0.9 * t},
    "switch": {"inside": DENOISER, "outside": DENOISER},
    "classifier_guidance": {"denoiser": DENOISER, "gradient": lambda x, t: x},
    "ClassifierFreeGuidance": {"model": lambda x, t: x, "cond": {}, "uncond": {}},
    "Restart": {"intervals": [(0.1, 1.0, 1, 2)]},
    "Recipe": {"schedule": Schedule.linear(10), "sampler": DDIM(), "shape": (2,)},
}
#: Those which follow the gradient without being schedules.
FOLLOWING = {"classifier_guidance(scale)", "ClassifierFreeGuidance(scale)"}


def test_no_gradient_is_lost_without_a_word() -> None:
    """Every number of every public callable: the result has the gradient, or there is an error."""
    torch = pytest.importorskip("torch")
    tried = []
    for name, function in _callables().items():
        try:
            parameters = inspect.signature(function).parameters
        except ValueError:
            continue
        for parameter in parameters.values():
            if str(parameter.annotation) not in ("float", "float | None", "<class 'float'>"):
                continue
            place = f"{name}({parameter.name})"
            others = {key: v for key, v in OTHERS.get(name, {}).items() if key in parameters}
            if "n" in parameters:
                others["n"] = 5
            number = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
            needed = [
                p.name
                for p in parameters.values()
                if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
            ]
            if set(needed) - set(others) - {parameter.name}:
                continue
            tried.append(place)
            result, message = None, ""
            try:
                result = function(**others, **{parameter.name: number})
            except TypeError as error:
                message = str(error)
            if message:
                assert parameter.name in message, place
                assert "gradient" in message, place
            elif place not in FOLLOWING:
                assert isinstance(result, Schedule), place
                assert result.log_alpha_bar.high.requires_grad, place
    assert {"Schedule.linear(beta_end)", "DDIM(eta)", "edm(sigma_data)", "Schedule.at(t)"} <= set(
        tried
    )
    assert len(tried) >= 25, tried


def _tensor() -> Any:
    torch = pytest.importorskip("torch")
    return torch.tensor(0.5, dtype=torch.float64, requires_grad=True)


#: What is called, the error, and words that its message must hold.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "at": (lambda: Schedule.linear(10).at(_tensor()), TypeError, ["t requires a gradient"]),
    "edm": (lambda: edm(_tensor()), TypeError, ["sigma_data requires a gradient"]),
    "bound": (
        lambda: switch(DENOISER, DENOISER, t_min=_tensor()),
        TypeError,
        ["t_min requires a gradient"],
    ),
    "timesteps": (
        lambda: Schedule.from_betas([0.1], timesteps=_tensor()[None]),
        TypeError,
        ["timesteps requires a gradient"],
    ),
    "what timesteps returns": (
        lambda: Schedule.from_betas([0.1], timesteps=lambda alpha, sigma: _tensor() * 1),
        TypeError,
        ["timesteps", "gradient"],
    ),
    "one of a list": (lambda: Schedule.from_betas([_tensor(), 0.2]), TypeError, ["gradients"]),
    "two numbers": (
        lambda: Schedule.flow(4, shift=_tensor()[None]),
        TypeError,
        ["shift must be a real number"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_named(name: str) -> None:
    check_named(*CASES[name])
