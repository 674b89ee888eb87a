"""Numbers in types that NumPy lacks, and in views that torch negates when they are read."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schedalg import DDIM, DDPM, Denoiser, DynamicThreshold, Plan, Schedule, UniPC, inpaint, sample

LINEAR = Schedule.linear(3)
X = np.ones((2, 3))


def network(x: Any, timesteps: Any) -> Any:
    return 0.1 * x


#: What is made of 0.5, 1 and 2, a float of which is 0.5. All types hold these.
USES: dict[str, Callable[[Any], Any]] = {
    "sigmas": lambda v: Schedule.from_sigmas(v).sigma,
    "sigmas in a list": lambda v: Schedule.from_sigmas(list(v)).sigma,
    "timesteps": lambda v: Schedule.from_sigmas([0.5, 1.0, 2.0], timesteps=v).timesteps,
    "timesteps in a list": lambda v: Schedule.from_betas([0.1] * 3, timesteps=list(v)).timesteps,
    "timesteps to keep": lambda v: LINEAR.subsample(timesteps=v[1:]).timesteps,
    "a factor": lambda v: LINEAR.shift(v[0]).to_betas(),
    "a timestep": lambda v: LINEAR.at(v[0]),
    "eta": lambda v: DDIM(v[0]),
    "a bound": lambda v: DynamicThreshold(0.5, v[2]),
    "columns": lambda v: Plan.of(LINEAR, a=v, b=v, c=v),
}


def check_same(found: Any, expected: Any) -> None:
    if isinstance(expected, np.ndarray):
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-6)
    else:
        assert found == expected


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_floats_of_torch(use: Callable[[Any], Any], dtype: str) -> None:
    torch = pytest.importorskip("torch")
    check_same(
        use(torch.tensor([0.5, 1, 2], dtype=getattr(torch, dtype))), use(np.array([0.5, 1, 2]))
    )


@pytest.mark.parametrize("name", ["sigmas", "timesteps", "a factor", "columns"])
def test_floats_of_a_byte(name: str) -> None:
    torch = pytest.importorskip("torch")
    numbers = torch.tensor([0.5, 1, 2], dtype=torch.float8_e5m2)
    check_same(USES[name](numbers), USES[name](np.array([0.5, 1, 2])))


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_floats_of_jax_and_what_numpy_makes_of_them(use: Callable[[Any], Any]) -> None:
    jnp = pytest.importorskip("jax.numpy")
    small = jnp.asarray([0.5, 1, 2], dtype=jnp.bfloat16)
    expected = use(np.array([0.5, 1, 2]))
    check_same(use(small), expected)
    check_same(use(np.asarray(small)), expected)


def test_integers_of_half_a_byte_are_indices() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for dtype in (ml_dtypes.int4, ml_dtypes.uint4):
        index = np.array([0, 2]).astype(dtype)
        assert LINEAR[index] == LINEAR[[0, 2]]
    with pytest.raises(TypeError, match="index must hold integers or booleans, got dtype float32"):
        LINEAR[np.array([0, 2]).astype(ml_dtypes.bfloat16)]


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("dtype", ["complex32", "complex64", "complex128"])
@pytest.mark.filterwarnings("ignore:ComplexHalf")
def test_views_that_are_negated_when_they_are_read(use: Callable[[Any], Any], dtype: str) -> None:
    torch = pytest.importorskip("torch")
    numbers = torch.tensor([-0.5j, -1j, -2j], dtype=torch.complex64).to(getattr(torch, dtype))
    view = numbers.conj().imag
    assert view.is_neg()
    check_same(use(view), use(np.array([0.5, 1, 2])))


@pytest.mark.filterwarnings("ignore:ComplexHalf")
def test_samples_that_are_negated_when_they_are_read() -> None:
    torch = pytest.importorskip("torch")
    drawn = np.random.default_rng(0).standard_normal((2, 6, 2, 2, 2))
    pairs = torch.view_as_complex(torch.tensor(drawn, dtype=torch.float16))
    output = pairs.conj().imag
    x, plain = output[:, :3], output.resolve_neg()
    assert x.is_neg()
    for sampler in (DDIM(), UniPC(), DDPM("learned_range")):
        for clip in (None, (-1, 1), DynamicThreshold()):
            width = 6 if isinstance(sampler, DDPM) else 3

            def run(x: Any, output: Any, sampler: Any = sampler, width: int = width) -> Any:
                model = lambda x, t: output[:, :width]  # noqa: E731
                source = lambda x: output[:, :3]  # noqa: E731
                return sample(model, LINEAR, sampler, x, clip=clip, noise=source)  # noqa: B023

            assert torch.equal(run(x, output), run(plain[:, :3].clone(), plain))


def test_inpainting_in_bfloat16() -> None:
    torch = pytest.importorskip("torch")
    known = torch.tensor([[0.5, 0.0, 1.0]], dtype=torch.bfloat16)
    mask = torch.tensor([[1, 0, 1]], dtype=torch.bfloat16)
    for dtype in (torch.bfloat16, torch.float32):
        x = torch.tensor(X, dtype=dtype)
        filled = sample(inpaint(Denoiser(network, LINEAR), known, mask), LINEAR, DDIM(), x)
        assert filled[:, 0].tolist() == [0.5, 0.5]
        assert filled[:, 2].tolist() == [1.0, 1.0]
