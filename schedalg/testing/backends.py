"""Checks of backends: the arithmetic of `backend.Update`, noise, timesteps and memory."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from schedalg.arrays import Array, device, namespace, to_host, widened
from schedalg.checks import is_like
from schedalg.network.denoiser import Denoiser
from schedalg.running import philox
from schedalg.running.backend import backend_for
from schedalg.running.rows import Row
from schedalg.running.sampling import sample, sample_steps
from schedalg.samplers import DDIM, DDPM, DPMSolverPP, EulerAncestral, Heun, UniPC
from schedalg.schedule import Schedule
from schedalg.schedule.timesteps import timestep_dtype
from schedalg.testing.rows import CASES, Case, random_rows, rows_of_numbers

#: Makes an array of the library, on the device, from values and the name of a dtype.
Make: TypeAlias = Callable[[np.ndarray, str], Array]

#: The distance from 1 to the next number.
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def check_backend(make: Make, dtypes: Sequence[str] = ("float64", "float32")) -> None:
    """Check that a backend computes the rows of a plan, up to the rounding of each dtype.

    Every row is compared with float64: with memories, noise, clamping and scaled model inputs.
    Whole samples are compared with those of NumPy. Arrays of the user must not be written to,
    whatever the network returns. Noise must be that of `philox`.

    Args:
        make: Makes an array of the library from values and the name of a dtype.
        dtypes: Names of the dtypes to check: "float64", "float32", "float16", "bfloat16".

    Raises:
        AssertionError: Something differs.

    Example:
        >>> import numpy as np
        >>> from schedalg.testing import check_backend
        >>> check_backend(lambda values, dtype: np.asarray(values, dtype=dtype))
    """
    for dtype in dtypes:
        for case in CASES:
            for shape in ((3, 2, 5, 7), (2, 5), (4,)):
                check_rows(make, dtype, case, shape)
            check_rows_of_samples(make, dtype, case)
        check_zeros(make, dtype)
        check_unread(make, dtype)
        check_normal(make, dtype)
        check_timesteps(make, dtype)
    check_samples(make, [dtype for dtype in dtypes if dtype in ("float64", "float32")])
    check_ownership(make, dtypes[0])


def check_rows(make: Make, dtype: str, case: Case, shape: tuple[int, ...]) -> None:
    """Check every row of a plan of random numbers against float64."""
    if case.learned and len(shape) < 2:
        return
    rng = np.random.default_rng(len(shape))
    rows = random_rows(rng, case)
    x = make(rng.standard_normal(shape), dtype)
    keys = None
    if case.noise == "keys":
        keys = rng.integers(0, 2**64, (shape[0], 2), dtype=np.uint64)
    update = backend_for(x).update(rows, x, keys, reuse=True)
    memories: list[np.ndarray] = []
    eps = EPS[dtype]
    for k, row in enumerate(rows.rows):
        before = _host(x)
        model_input, scaled = _host(update.input(k, x)), row.c_in * before
        # One rounding of c_in x to the dtype; the smallest numbers of float16 lie 2^-24 apart.
        once = (0.5 * eps + 4 * min(eps, EPS["float32"])) * np.abs(scaled)
        allowed = np.maximum(once, 2.0**-25) if dtype == "float16" else once
        _close(model_input, scaled, allowed, f"input of row {k}", case, dtype)
        output, variance = _output(make, rng, shape, dtype, case.learned)
        noise = make(rng.standard_normal(shape), dtype) if case.noise == "given" else None
        x0 = make(rng.standard_normal(shape), dtype) if case.outside else None
        after = update(k, x, output, x0, variance, noise)
        assert is_like(after, x), f"row {k} returns {after.dtype} for {x.dtype}"
        terms = [row.x * before]
        raw = _host(output)
        d = raw if x0 is None else _host(x0)
        if row.read is not None and rows.clip is not None:
            d = np.clip(row.read[0] * before + row.read[1] * raw, *rows.clip)
        terms += [row.d * d, row.raw * raw]
        terms += [weight * memories[-back] for weight, back in row.memories]
        stored = sum((np.abs(term) for term in terms[3:]), np.zeros(shape))
        if row.noise:
            z = _host(noise) if keys is None else _philox(keys, rows.words[k], shape)
            scale = row.noise
            if variance is not None and row.log_variance is not None:
                middle, half = row.log_variance
                scale = scale * np.exp((middle + half * _host(variance)) / 2)
            terms.append(scale * z)
        exact = sum(terms, np.zeros(shape))
        # One rounding of the sum and of each memory to the dtype; others are in float32 or float64.
        inside = sum((np.abs(term) for term in terms), np.zeros(shape))
        allowed = eps * (np.abs(exact) + stored) + 16 * min(eps, EPS["float32"]) * (inside + 1)
        _close(_host(after), exact, allowed, f"row {k}", case, dtype)
        memory = row.memory or (0.0, 0.0, 0.0)
        memories.append(memory[0] * before + memory[1] * d + memory[2] * raw)
        x = after


def check_rows_of_samples(make: Make, dtype: str, case: Case) -> None:
    """Check that samples at rows of their own are what each is alone."""
    rng = np.random.default_rng(3)
    rows, shape = random_rows(rng, case), (3, 2, 5)
    first = np.array([2, 0, 5])  # samples begin in the middle, go on to the end, and begin again
    keys = rng.integers(0, 2**64, (3, 2), dtype=np.uint64) if case.noise == "keys" else None
    x = make(rng.standard_normal(shape), dtype)
    together = backend_for(x).update(rows, x, keys, reuse=True)
    alone: list[Any] = [None] * 3
    eps = EPS[dtype]
    for step in range(2 * len(rows.rows)):
        k = (first + step) % len(rows.rows)
        before, model_input = _host(x), _host(together.input(k, x))
        output, variance = _output(make, rng, shape, dtype, case.learned)
        noise = make(rng.standard_normal(shape), dtype) if case.noise == "given" else None
        x0 = make(rng.standard_normal(shape), dtype) if case.outside else None
        arrays = [output, x0, variance, noise]
        after = together(k, x, *arrays)
        assert is_like(after, x), f"rows {k} return {after.dtype} for {x.dtype}"
        for i, row in enumerate(k.tolist()):
            own = [None if array is None else array[i : i + 1, ...] for array in arrays]
            mine = make(before[i : i + 1], dtype)
            if row == 0:
                mine_keys = None if keys is None else keys[i : i + 1]
                alone[i] = backend_for(x).update(rows, mine, mine_keys, reuse=False)
            if alone[i] is None:
                continue
            what = f"row {row} of a sample"
            exact = rows.rows[row].c_in * before[i : i + 1]
            allowed = (eps + 8 * min(eps, EPS["float32"])) * np.abs(exact)
            allowed = np.maximum(allowed, 2.0**-24) if dtype == "float16" else allowed
            _close(model_input[i : i + 1], exact, allowed, f"input of {what}", case, dtype)
            expected = _host(alone[i](row, mine, *own))
            # Each is rounded once to the dtype; inside, terms of at most 4 are added in float32.
            allowed = 2 * eps * np.abs(expected) + 64 * min(eps, EPS["float32"])
            allowed = allowed + (4 * eps if rows.depth else 0)  # memories are rounded as well
            _close(_host(after)[i : i + 1], expected, allowed, what, case, dtype)
        x = make(_host(after).clip(-4, 4), dtype)


def check_zeros(make: Make, dtype: str) -> None:
    """Check that a term with the coefficient 0 is left out, even if it is infinite."""
    nothing = Row(1.0, None, 0.0, 1.0, (), None, 0.0, None)
    for row, clip in (
        (nothing, None),
        (nothing._replace(read=(0.0, 0.5)), (-9.0, 9.0)),
        (nothing._replace(x=1.0, d=0.0), None),
    ):
        finite, infinite = make(np.full((2, 3), 0.75), dtype), make(np.full((2, 3), np.inf), dtype)
        x, output = (finite, infinite) if row.d == 0 else (infinite, finite)
        update = backend_for(x).update(rows_of_numbers([row], 0, clip), x, None, reuse=True)
        after = _host(update(0, x, output, None, None, None))
        expected = 0.375 if clip else 0.75
        np.testing.assert_array_equal(after, expected, f"0 times infinity in {dtype}")


def check_unread(make: Make, dtype: str) -> None:
    """Check that a memory that no row reads has no effect, and that a sum of no terms is 0."""
    remembering = Row(1.0, None, 0.0, 1.0, (), (0.0, 1.0, 0.0), 0.0, None)
    rows = [
        remembering._replace(x=1.0, d=0.0),  # its memory is infinite
        remembering,
        remembering,
        remembering._replace(d=0.0, memories=((0.5, 1), (0.5, 2))),
        Row(1.0, None, 0.0, 0.0, (), None, 0.0, None),
    ]
    x = make(np.full((2, 3), 0.75), dtype)
    update = backend_for(x).update(rows_of_numbers(rows, 3, None), x, None, reuse=True)
    results = []
    for k in range(len(rows)):
        x = update(k, x, make(np.full((2, 3), k or np.inf), dtype), None, None, None)
        results.append(_host(x)[0, 0])
    np.testing.assert_array_equal(results, [0.75, 1, 2, 1.5, 0], "memories that are not read")


def check_normal(make: Make, dtype: str) -> None:
    """Check that noise is a function of key, words and place, as `philox` defines it."""
    keys = np.array([[7, 0], [2**64 - 1, 3], [7, 1]], dtype=np.uint64)
    x = make(np.zeros((3, 2, 5, 5)), dtype)
    backend = backend_for(x)
    for words in ((0, 0, 0), (-(2**63), 1, 2), (5 << 20, 2**40, 1)):
        exact = _philox(keys, words, (3, 2, 5, 5))
        drawn = backend.normal(x, keys, words)
        assert is_like(drawn, x), f"noise of {drawn.dtype} for {x.dtype}"
        allowed = EPS[dtype] * np.abs(exact) + 16 * min(EPS[dtype], EPS["float32"])
        _close(_host(drawn), exact, allowed, f"noise of {words}", None, dtype)
        alone = backend.normal(x[1:2, ...], keys[1:2], words)
        np.testing.assert_array_equal(_host(alone), _host(drawn)[1:2], "noise in a batch of one")


def check_timesteps(make: Make, dtype: str) -> None:
    """Check the timesteps: one for each sample, on the same device as x, integers if whole."""
    x = make(np.zeros((3, 2)), dtype)
    for values in (np.array([999, 500, 0]), np.array([999.5, 0.25])):
        timesteps = backend_for(x).timesteps(values, x)
        assert len(timesteps) == len(values)
        for each, value in zip(timesteps, values, strict=True):
            assert namespace(each) is namespace(x)
            assert tuple(each.shape) == (3,), f"{value} has shape {tuple(each.shape)}, not (3,)"
            expected = timestep_dtype(x, value.item())
            assert each.dtype == expected, f"{value} has dtype {each.dtype}, not {expected}"
            assert device(each) == device(x), f"{value} is on {device(each)}, not {device(x)}"
            np.testing.assert_array_equal(to_host(each), value)


def check_samples(make: Make, dtypes: Sequence[str]) -> None:
    """Check whole samples against those of NumPy in float64, alone and in a batch."""
    vp, ve = Schedule.linear(1000).subsample(steps=6), Schedule.karras(6)
    rng = np.random.default_rng(0)
    for sampler, schedule in (
        (DDIM(), vp),
        (DDPM(), vp),
        (DPMSolverPP(2), vp),
        (UniPC(3), vp),
        (Heun(), ve),
        (EulerAncestral(), ve),
    ):
        start = schedule.prior_std * rng.standard_normal((3, 2, 4, 4))
        for clip in (None, (-1.0, 1.0)):
            how: dict[str, Any] = {"clip": clip}
            # The network is not steep, so that it does not amplify rounding errors.
            exact = sample(
                lambda x, t: np.tanh(x / 40), schedule, sampler, start, noise=[5, 6, 7], **how
            )
            for dtype in dtypes:
                x = make(start, dtype)

                def network(x: Array, timesteps: Array) -> Array:
                    return namespace(x).tanh(x / 40)

                together = sample(network, schedule, sampler, x, noise=[5, 6, 7], **how)
                alone = sample(network, schedule, sampler, x[1:2, ...], noise=6, **how)
                within = {"float64": 1e-12, "float32": 1e-5}[dtype] * np.abs(exact).max()
                what = f"{sampler!r} with clip={clip} in {dtype}"
                np.testing.assert_allclose(_host(together), exact, 0, within, err_msg=what)
                np.testing.assert_allclose(
                    _host(alone)[0], _host(together)[1], 0, within, err_msg=f"{what}, alone"
                )


def check_ownership(make: Make, dtype: str) -> None:
    """Check that arrays which the user or the network may read later are not written to."""
    schedule = Schedule.karras(5)
    values = 9 * np.random.default_rng(2).standard_normal((2, 3, 4, 4))
    outside = make(values / 90, dtype)
    outputs: dict[str, Callable[[Array], Array]] = {
        "its input": lambda x: x,
        "its input transposed": lambda x: namespace(x).permute_dims(x, (0, 1, 3, 2)),
        "its first input for all": lambda x: namespace(x).broadcast_to(x[:1, ...], x.shape),
        "every second number of an array": lambda x: namespace(x).stack([x, -x], axis=-1)[..., 0],
        "an array of its own": lambda x: outside,
    }
    for what, output in outputs.items():
        for sampler in (DDIM(), Heun(), UniPC(3)):
            for path in (schedule, schedule.as_vp()):
                x = make(values, dtype)

                def network(x: Array, timesteps: Array, output: Any = output) -> Array:
                    return output(x)

                # A denoiser made from a function always gets new arrays.
                plain = Denoiser.from_function(Denoiser(network, path, "x0"), path)
                exact = _host(sample(plain, path, sampler, x))
                steps = list(sample_steps(network, path, sampler, x, prediction="x0"))
                for result in (steps[-1], sample(network, path, sampler, x, prediction="x0")):
                    np.testing.assert_allclose(
                        _host(result), exact, 1e-5, 1e-5, err_msg=f"the network returns {what}"
                    )
                np.testing.assert_array_equal(_host(x), _host(make(values, dtype)), "x")
    again = sample_steps(network, path, sampler, x, prediction="x0")
    for step, earlier in zip(again, steps, strict=True):
        np.testing.assert_array_equal(_host(step), _host(earlier), "steps of an earlier run")
    empty = make(np.zeros((0, 3, 4, 4)), dtype)
    assert tuple(sample(lambda x, t: x, schedule, DDIM(), empty).shape) == (0, 3, 4, 4)
    x = make(values, dtype)
    for other, same in (
        (namespace(x).permute_dims(x, (0, 1, 3, 2)), values.transpose(0, 1, 3, 2)),
        (namespace(x).stack([x, -x], axis=-1)[..., 0], values),
    ):
        images = [
            _host(sample(lambda x, t: x / 9, schedule, UniPC(3), y))
            for y in (other, make(same.copy(), dtype))
        ]
        np.testing.assert_allclose(
            images[0], images[1], 1e-5, 1e-5, err_msg="x in another memory order"
        )


def _output(
    make: Make, rng: np.random.Generator, shape: tuple[int, ...], dtype: str, learned: bool
) -> tuple[Array, Array | None]:
    """Return a network's output and learned variance, as halves of one array."""
    if not learned:
        return make(rng.standard_normal(shape), dtype), None
    both = make(rng.standard_normal((shape[0], 2 * shape[1], *shape[2:])), dtype)
    return both[:, : shape[1], ...], both[:, shape[1] :, ...]


def _philox(keys: np.ndarray, words: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    return philox.normal(keys, words, int(np.prod(shape[1:]))).reshape(shape)


def _host(array: Array) -> np.ndarray:
    """Return a float64 copy on the host."""
    return np.array(to_host(widened(array)), dtype=np.float64)


def _close(
    got: np.ndarray,
    exact: np.ndarray,
    allowed: np.ndarray,
    what: str,
    case: Case | None,
    dtype: str,
) -> None:
    excess = np.abs(got - exact) - allowed
    assert (excess <= 0).all(), (  # NaN is not
        f"{what} in {dtype} is off by {np.abs(got - exact).max():.3g}, {excess.max():.3g} more "
        f"than rounding explains; {case}"
    )
