"""The noise that sampling starts from."""

from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDPM,
    EulerAncestral,
    Schedule,
    check_initial_noise,
    initial_noise,
    sample,
)
from tests.libraries import Library, host, lib  # noqa: F401

SHAPE = (3, 2, 5)
SEEDS = [7, 2**64 + 3, 2**128 - 1]


def test_it_is_philox_in_a_domain_of_its_own() -> None:
    """The words of NumPy's own generator at counter (block, 0, 0, 1), taken by Box and Muller."""
    noise = initial_noise(Schedule.linear(1000), SHAPE, SEEDS)
    for seed, mine in zip(SEEDS, noise.reshape(3, -1), strict=True):
        key = np.array([seed % 2**64, seed >> 64], dtype=np.uint64)
        counter = np.array([0, 0, 0, 1], dtype=np.uint64)
        raw = np.random.Philox(key=key, counter=counter).random_raw(12).reshape(-1, 2)
        radius = np.sqrt(-2 * np.log(((raw[:, 0] >> np.uint64(11)) + 0.5) * 2.0**-53))
        angle = 2 * np.pi * 2.0**-64 * raw[:, 1].view(np.int64)
        normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        np.testing.assert_allclose(mine, normal.reshape(-1)[:10], rtol=1e-13)


def test_it_is_the_same_everywhere_up_to_the_scale(lib: Library) -> None:  # noqa: F811
    like = lib.array(np.zeros(1))
    exact = initial_noise(Schedule.linear(1000), SHAPE, SEEDS)
    for schedule in (Schedule.linear(1000), Schedule.karras(7), Schedule.flow(5)):
        noise = initial_noise(schedule, SHAPE, SEEDS, like=like)
        assert lib.is_mine(noise)
        assert noise.dtype == like.dtype
        within = 1e-6 if lib.widest == "float32" else 1e-14
        scaled = schedule.prior_std * exact
        atol = 2 * within * schedule.prior_std  # of the sine and cosine, near their zeros
        np.testing.assert_allclose(host(noise), scaled, rtol=within, atol=atol)


def test_half_precision_is_rounded_once() -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.float16, torch.bfloat16):
        half = initial_noise(Schedule.karras(4), SHAPE, 5, like=torch.zeros(1, dtype=dtype))
        single = initial_noise(Schedule.karras(4), SHAPE, 5, like=torch.zeros(1))
        assert torch.equal(half, single.to(dtype))


def test_a_sample_is_a_function_of_its_seed() -> None:
    karras = Schedule.karras(6)
    for sampler in (DDPM(), EulerAncestral()):

        def sampled(seeds: Any, batch: int, sampler: Any = sampler) -> np.ndarray:
            x = initial_noise(karras, (batch, 4), seeds)
            image: np.ndarray = sample(lambda x, t: 0.1 * x, karras, sampler, x, noise=seeds)
            return image

        together = sampled([5, 6, 7], 3)
        np.testing.assert_array_equal(sampled(6, 1)[0], together[1])
        np.testing.assert_array_equal(sampled(5, 2)[1], sampled(5 + 2**64, 1)[0])


def test_no_draw_is_shared_with_the_steps() -> None:
    """A step that arrives at the noise level 1/2 of log-SNR 0 has the same level and visit."""
    s = Schedule.from_sigmas([1.0, 2.0, 3.0])
    drawn: list[Any] = []
    x = initial_noise(s, (1, 8), 3)
    for k in (2, 3):  # x moves by the noise of each step alone, since the network predicts x
        part = s[k - 1 : k]
        drawn.append(sample(lambda x, t: x, part, DDPM(), x, prediction="x0", noise=3) - x)
    for step in drawn:
        ratio = step / x
        assert np.ptp(ratio) > 1e-3


def test_a_start_of_another_spread_is_told_of() -> None:
    rng = np.random.default_rng(0)
    for schedule in (Schedule.linear(1000), Schedule.karras(9), Schedule.flow(5)):
        for shape in ((1, 1), (1, 3), (4, 3, 8, 8)):
            for seed in range(200):
                check_initial_noise(schedule, initial_noise(schedule, shape, seed))
        x = schedule.prior_std * rng.standard_normal((4, 3, 8, 8))
        for wrong in (0 * x, x / 80, x / 1.7, 1.7 * x, 80 * x, np.nan * x):
            with pytest.raises(ValueError, match="the schedule starts from noise with a spread"):
                check_initial_noise(schedule, wrong)


def test_bad_input_is_named() -> None:
    s = Schedule.linear(10)
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: initial_noise(None, (1,), 0), TypeError, "schedule"),
        (lambda: initial_noise(s, (), 0), ValueError, "shape must have a batch dimension"),
        (lambda: initial_noise(s, (2, -1), 0), ValueError, r"shape\[1\] must be at least 0, got"),
        (lambda: initial_noise(s, (2.0,), 0), TypeError, r"shape\[0\] must be an integer"),
        (lambda: initial_noise(s, 3, 0), TypeError, "shape must be a sequence"),
        (lambda: initial_noise(s, (2,), [1]), ValueError, "seeds holds 1 seeds for 2 samples"),
        (lambda: initial_noise(s, (2,), -1), ValueError, "seeds: a seed must be at least 0"),
        (lambda: initial_noise(s, (2,), True), TypeError, "seeds must be a seed"),
        (lambda: initial_noise(s, (2,), None), TypeError, "seeds must be a seed"),
        (lambda: initial_noise(s, (2,), 0, like=[1.0]), TypeError, "like must be an array"),
        (
            lambda: initial_noise(Schedule.karras(4, 0.1, 1e4), (2,), 0, like=np.ones(1, "f2")),
            ValueError,
            "like is of dtype float16, whose numbers end at 6.55e\\+04: noise of prior_std 1e\\+04",
        ),
        (lambda: check_initial_noise(s, np.empty((0, 3))), ValueError, "x is empty"),
        (lambda: check_initial_noise(s, 1.0), TypeError, "x must be an array"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()
