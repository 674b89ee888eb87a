"""What is said where a network's own error comes from how it was called."""

from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    ClassifierFreeGuidance,
    Denoiser,
    Midpoint,
    Pool,
    Schedule,
    TimestepRemap,
    inpaint,
    run,
    sample,
)
from schedalg.arrays import Array
from tests.libraries import Library, lib

__all__ = ["lib"]

BASE = Schedule.linear(1000)
X = np.ones((4, 2))
TABLE = np.linspace(0, 1, 1000)


def looked_up(x: Any, timesteps: Any) -> Any:
    """A network with a table of timesteps."""
    return x * TABLE[timesteps][:, None]


def notes(error: pytest.ExceptionInfo[Exception]) -> str:
    return " ".join(getattr(error.value, "__notes__", []))


def test_a_table_of_timesteps_takes_rounded_ones() -> None:
    fractional = BASE.subsample(steps=6, spacing="karras")
    with pytest.raises(IndexError) as caught:
        sample(looked_up, fractional, DDIM(), X)
    assert "schedule.round_timesteps()" in notes(caught)
    sample(looked_up, fractional.round_timesteps(), DDIM(), X)
    plan = Midpoint().plan(fractional.round_timesteps())
    with pytest.raises(IndexError) as caught:
        run(plan, looked_up, X)
    assert "plan.round_timesteps()" in notes(caught)
    run(plan.round_timesteps(), looked_up, X)


def test_an_embedding_takes_rounded_timesteps() -> None:
    torch = pytest.importorskip("torch")
    table = torch.nn.Embedding(1000, 2)

    def network(x: Array, timesteps: Array) -> Array:
        return x * table(timesteps)

    x = torch.ones(4, 2)
    fractional = BASE.subsample(steps=6, spacing="log_snr")
    with pytest.raises(RuntimeError) as caught:
        sample(network, fractional, DDIM(), x)
    assert "round_timesteps()" in notes(caught)
    with torch.no_grad():
        sample(network, fractional.round_timesteps(), DDIM(), x)


def test_an_unrelated_error_gets_no_note() -> None:
    def broken(x: Any, timesteps: Any) -> Any:
        raise KeyError("weights")

    with pytest.raises(KeyError) as caught:
        sample(broken, BASE.subsample(steps=3, spacing="karras"), DDIM(), X)
    assert not notes(caught)


class OfXAlone:
    def __call__(self, x: Any) -> Any:
        return x


@pytest.mark.parametrize("model", [lambda x: x, OfXAlone()])
def test_a_network_of_other_arguments_is_named(model: Any) -> None:
    """Whoever calls it: a run, a denoiser, guidance or a pool."""
    few = BASE.subsample(steps=2)
    pool = Pool(model, (2,), 1)
    pool.add(DDIM().plan(few), seed=1)
    for call in (
        lambda: sample(model, few, DDIM(), X),
        lambda: sample(ClassifierFreeGuidance(model, 2.0, {}, {}), few, DDIM(), X),
        lambda: Denoiser(model, few)(X, few[1]),
        pool.step,
    ):
        with pytest.raises(TypeError) as caught:
            call()
        assert "called as model(x, timesteps), and its arguments are (x)" in notes(caught)
        assert "`lambda x, timesteps: model(x)`" in notes(caught)


def test_keywords_that_a_network_does_not_take_are_named() -> None:
    with pytest.raises(TypeError) as caught:
        sample(looked_up, BASE[:3], DDIM(), X, y=3)
    assert "model(x, timesteps, y=...), and its arguments are (x, timesteps)" in notes(caught)


def test_a_condition_of_another_dtype_is_named() -> None:
    def network(x: Any, timesteps: Any, y: Any) -> Any:
        return x * y

    x, y = X.astype(np.float32), np.ones((4, 1))
    guided = ClassifierFreeGuidance(network, 2.0, {"y": y}, {"y": 0 * y})
    for model, keywords in ((network, {"y": y}), (guided, {})):
        with pytest.raises(ValueError, match=r"float64, and x has float32. The keyword 'y'"):
            sample(model, BASE[:3], DDIM(), x, **keywords)


def test_a_matrix_of_another_dtype_is_named() -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(3, 2)

    def network(x: Array, timesteps: Array, y: Array) -> Array:
        return x + layer(y)

    x = torch.ones(4, 2)
    with pytest.raises(RuntimeError) as caught:
        sample(network, BASE[:3], DDIM(), x, y=torch.ones(4, 3, dtype=torch.float64))
    assert "'y' is torch.float64" in notes(caught)
    with pytest.raises(RuntimeError) as caught:
        sample(lambda x, t, y: torch.cat([x, y], dim=1), BASE[:3], DDIM(), x, y=torch.ones(1, 2))
    assert "'y' has batch 1" in notes(caught)


@pytest.mark.parametrize(
    ("keyword", "word"),
    [("seed", "noise="), ("generator", "noise="), ("steps", "subsample"), ("eta", "DDIM(eta=")],
)
def test_keywords_of_other_libraries_are_refused(keyword: str, word: str) -> None:
    def any_keywords(x: Any, timesteps: Any, **keywords: Any) -> Any:
        return x

    guided = ClassifierFreeGuidance(any_keywords, 2.0, {}, {})
    for model in (any_keywords, looked_up, guided, TimestepRemap(any_keywords, BASE)):
        with pytest.raises(TypeError) as caught:
            sample(model, BASE[:3], DDIM(), X, **{keyword: 3})
        assert keyword in str(caught.value)
        assert word in str(caught.value)


def test_a_network_may_have_such_a_keyword() -> None:
    seeds: list[int] = []

    def network(x: Any, timesteps: Any, seed: int) -> Any:
        seeds.append(seed)
        return 0 * x

    sample(network, BASE[:3], DDIM(), X, seed=7)
    sample(ClassifierFreeGuidance(network, 2.0, {}, {}), BASE[:3], DDIM(), X, seed=7)
    assert set(seeds) == {7}


def test_a_plain_network_is_told_how_to_become_a_denoiser() -> None:
    with pytest.raises(TypeError, match=r"Denoiser\(model, schedule\)"):
        inpaint(looked_up, X, X)
    assert inpaint(Denoiser(looked_up, BASE), X, X).schedule is BASE


def test_calls_of_a_network_are_the_same_in_every_library(lib: Library) -> None:
    x = lib.array(X)
    y = lib.array(np.ones((4, 1)))
    image = sample(lambda x, t, y: x * y, BASE[:3], DDIM(), x, y=y)
    assert lib.is_mine(image)


@pytest.mark.parametrize(
    ("keyword", "told"),
    [
        ("seed", "noise="),
        ("num_inference_steps", "subsample(steps=...)"),
        ("eta", "DDIM(eta=1.0)"),
        ("guidance_scale", "ClassifierFreeGuidance"),
        ("callback", "sample_steps"),
        ("prediction_type", "prediction="),
    ],
)
def test_keywords_of_other_libraries_are_told_from_those_of_the_network(
    keyword: str, told: str
) -> None:
    schedule = BASE.subsample(steps=3)
    with pytest.raises(TypeError, match=f"sampling has no keyword '{keyword}'") as caught:
        sample(lambda x, timesteps: x, schedule, DDIM(), X, **{keyword: 1})
    assert told in str(caught.value)

    def takes(
        x: Array,
        timesteps: Array,
        seed: int = 0,
        num_inference_steps: int = 0,
        eta: int = 0,
        guidance_scale: int = 0,
        callback: int = 0,
        prediction_type: int = 0,
    ) -> Array:
        return x

    assert sample(takes, schedule, DDIM(), X, **{keyword: 1}).shape == X.shape
