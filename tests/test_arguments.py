"""Kinds of arguments that are checked alike wherever they are taken: counts, flags, functions."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    Denoiser,
    Recipe,
    Restart,
    Schedule,
    TimestepRemap,
    UniPC,
    frames,
    generate,
    initial_noise,
    sample,
    sample_steps,
    verify,
)
from schedalg.checks import MOST, shown
from schedalg.interop.diffusers import from_diffusers
from schedalg.interop.guided_diffusion import get_named_beta_schedule, space_timesteps
from schedalg.interop.k_diffusion import to_sigmas
from tests.bad_input import LINEAR, X, check_named, network, run

RECIPE = Recipe(schedule=LINEAR, sampler=DDIM(), shape=(3,))
#: Whatever takes a count, and how it calls it.
COUNTS: dict[str, tuple[Callable[[int], Any], str]] = {
    "linear": (Schedule.linear, "n"),
    "cosine": (Schedule.cosine, "n"),
    "karras": (Schedule.karras, "n"),
    "flow": (Schedule.flow, "n"),
    "alpha_bar": (lambda n: Schedule.from_alpha_bar(lambda t: 1 - t, n), "n"),
    "steps": (lambda n: LINEAR.subsample(steps=n), "steps"),
    "every": (lambda n: LINEAR.subsample(every=n), "every"),
    "sections": (lambda n: LINEAR.subsample(sections=[n]), "sections[0]"),
    "refine": (LINEAR.refine, "k"),
    "remap": (lambda n: TimestepRemap(network, LINEAR, True, n), "original_num_steps"),
    "space_timesteps": (lambda n: space_timesteps(n, "ddim25"), "num_timesteps"),
    "betas": (lambda n: get_named_beta_schedule("linear", n), "num_diffusion_timesteps"),
}


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("count", [MOST + 1, 10**9, 2**63, 2**64 - 1, 10**5000], ids=shown)
def test_counts_have_a_limit(name: str, count: int) -> None:
    call, argument = COUNTS[name]
    check_named(lambda: call(count), ValueError, [argument, str(MOST), shown(count)])


#: Whatever takes an integer that is no count, and what its error must name.
INTEGERS: dict[str, tuple[Callable[[int], Any], str]] = {
    "count": (Schedule.linear, "n"),
    "steps": (lambda n: LINEAR.subsample(steps=n), "steps"),
    "index": (lambda n: LINEAR[n], "index"),
    "position": (lambda n: LINEAR.add_noise(X, X, n), "k"),
    "order": (UniPC, "order"),
    "seed": (lambda n: initial_noise(LINEAR, (3,), n), "seeds"),
    "seeds": (lambda n: run(noise=[1, n]), "noise[1]"),
    "part": (
        lambda n: generate(RECIPE, network, [1], "folder", batch_size=1, part=(n, 2)),
        "part[0]",
    ),
    "version": (lambda n: Schedule.from_dict({**LINEAR.to_dict(), "version": n}), "version"),
    "stretch": (lambda n: Restart(DDIM(), [(0, 1, n)]), "stretches"),
    "offset": (lambda n: frames(DDIM().plan(LINEAR), [0, n]), "offset"),
}


@pytest.mark.parametrize("number", [10**5000, -(10**5000)], ids=shown)
@pytest.mark.parametrize("name", INTEGERS)
def test_integers_too_long_for_python_to_write_out_are_named(name: str, number: int) -> None:
    call, argument = INTEGERS[name]
    check_named(lambda: call(number), ValueError, [argument, "an integer of 16610 bits"])


def test_long_doubles_beyond_float64_are_infinite_without_a_warning() -> None:
    far = np.array(["1e4000"], np.longdouble)
    if not np.isfinite(far).all():
        pytest.skip("long double is float64 on this platform")
    for name in ("betas", "sigmas", "log_snr"):
        make = getattr(Schedule, f"from_{name}")
        check_named(partial(make, far), ValueError, [f"{name}[0]", "inf"])
    check_named(
        lambda: LINEAR.subsample(sigmas=far), ValueError, ["sigmas[0]", "inf", "noise levels"]
    )


@pytest.mark.parametrize("span", [np.timedelta64(1), np.timedelta64(1, "s")])
def test_a_span_of_time_is_no_number(span: np.timedelta64) -> None:
    check_named(lambda: LINEAR.shift(span), TypeError, ["factor", "real number"])
    check_named(lambda: run(clip=(span, 1)), TypeError, ["clip[0]", "real number"])


@pytest.mark.parametrize("path", ["\ud800", "a\0b", ""], ids=repr)
def test_paths_that_no_file_can_have_are_named(path: str) -> None:
    check_named(
        lambda: generate(RECIPE, network, [1], path, batch_size=1), ValueError, ["out", repr(path)]
    )
    check_named(lambda: verify(path), ValueError, ["out", repr(path)])
    check_named(lambda: from_diffusers(path), ValueError, ["scheduler", repr(path)])


def test_a_key_that_is_twice_in_a_text_of_json_is_named(tmp_path: Path) -> None:
    text = RECIPE.to_json()
    line = next(each for each in text.splitlines() if '"shape"' in each)
    twice = text.replace(line, f"{line}\n{line.replace('[3]', '[4]')}")
    check_named(lambda: Recipe.from_json(twice), ValueError, ["text", "'shape' is there twice"])
    path = tmp_path / "twice.json"
    path.write_text('{"_class_name": "DDIMScheduler", "a": {"b": 1, "c": 2, "b": 1}}')
    check_named(lambda: from_diffusers(path), ValueError, [str(path), "'b' is there twice"])
    generate(RECIPE, network, [1], tmp_path / "out", batch_size=1)
    saved = tmp_path / "out" / "recipe.json"
    saved.write_text(saved.read_text().replace('"seeds"', '"format": "npy", "seeds"'))
    check_named(lambda: verify(tmp_path / "out"), ValueError, ["recipe.json", "'format'", "twice"])


def test_a_product_of_counts_has_the_same_limit() -> None:
    check_named(lambda: LINEAR.refine(MOST), ValueError, ["k", str(MOST)])


def test_the_stride_of_ddim_is_found_at_once() -> None:
    assert len(space_timesteps(MOST, "ddim5")) == 5
    for n in range(1, 40):
        for count in range(1, 42):
            strides = [s for s in range(1, max(n, 2)) if len(range(0, n, s)) == count]
            if strides:
                assert space_timesteps(n, f"ddim{count}") == set(range(0, n, strides[0]))
            else:
                with pytest.raises(ValueError, match="no whole stride"):
                    space_timesteps(n, f"ddim{count}")


#: Whatever takes a flag.
FLAGS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "progress": (lambda value: run(progress=value), "progress"),
    "check_finite": (lambda value: run(check_finite=value), "check_finite"),
    "capture": (lambda value: run(capture=value), "capture"),
    "progress of steps": (
        lambda value: sample_steps(network, LINEAR, DDIM(), X, progress=value),
        "progress",
    ),
    "rounded": (
        lambda value: LINEAR.subsample(steps=2, spacing="karras", rounded=value),
        "rounded",
    ),
    "rescale_timesteps": (lambda value: TimestepRemap(network, LINEAR, value, 10), "rescale_times"),
    "final_zero": (lambda value: to_sigmas(LINEAR, final_zero=value), "final_zero"),
    "whole_timesteps": (
        lambda value: Schedule.from_dict({**LINEAR.to_dict(), "whole_timesteps": value}),
        "whole_timesteps",
    ),
}


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", ["False", "no", 1, 0.0, []])
def test_flags_are_true_or_false(name: str, value: Any) -> None:
    call, argument = FLAGS[name]
    check_named(lambda: call(value), TypeError, [argument, "True or False", shown(value)])


def stopped(*arguments: Any) -> Any:
    return next(iter(()))


class Stops:
    def init(self, x: Any, schedule: Any) -> None: ...

    def step(self, *arguments: Any) -> Any:
        return stopped()


@pytest.mark.parametrize(
    "call",
    [
        lambda: run(model=stopped),
        lambda: list(sample_steps(stopped, LINEAR, DDIM(), X)),
        lambda: run(clip=stopped),
        lambda: run(sampler=DDPM(), noise=stopped),
        lambda: run(sampler=Stops()),
        lambda: sample(Denoiser.from_function(stopped, LINEAR), LINEAR, DDIM(), X),
        lambda: Schedule.from_alpha_bar(stopped, 4),
        lambda: Schedule.from_betas([0.1], timesteps=stopped),
    ],
)
def test_stop_iteration_of_a_users_function_is_no_end_of_a_loop(call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="raised StopIteration") as caught:
        call()
    assert isinstance(caught.value.__cause__, StopIteration)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("version", True, ValueError),
        ("origin_timestep", np.array([1]), TypeError),
        ("origin_timestep", True, TypeError),
        ("origin_timestep", 10**400, ValueError),
        ("origin_timestep", -1e308, ValueError),
        ("timesteps", 5, TypeError),
        ("timesteps", None, TypeError),
        ("curve", 5, TypeError),
        ("log_alphas_cumprod", 5, ValueError),
    ],
)
def test_the_fields_of_a_schedules_dictionary_are_checked(
    key: str, value: Any, error: type[Exception]
) -> None:
    check_named(lambda: Schedule.from_dict({**LINEAR.to_dict(), key: value}), error, [key])


def test_what_is_read_as_a_number_is_kept_as_one() -> None:
    data = {**LINEAR[2:].to_dict(), "origin_timestep": np.array(1.0)}
    assert Schedule.from_dict(data) == LINEAR[2:]
    assert hash(Schedule.from_dict(data)) == hash(LINEAR[2:])


def test_messages_show_the_start_of_what_is_long() -> None:
    assert shown("x" * 10**6) == "'" + "x" * 76 + "..."
    assert shown([1, [2, [3]], "a", None, 1.5, 2, 3]) == "[1, [2, list], 'a', None, 1.5, ...]"
    assert shown((1,)) == "(1,)"
    assert shown(np.ones((2, 3))) == "shape (2, 3), dtype float64"
    assert shown(10**5000) == "an integer of 16610 bits"
    torch = pytest.importorskip("torch")
    freed = torch.ones(2, 3)
    freed.untyped_storage().resize_(0)
    assert shown([freed]) == "[shape (2, 3), dtype torch.float32]"
