"""The CuPy backend's source: run on the CPU, and compiled for GPUs."""

import ctypes
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schedalg import (
    DDIM,
    DDPM,
    LMS,
    DPMSolverPP,
    EulerAncestral,
    Heun,
    Pool,
    Schedule,
    UniPC,
    run,
    sample,
    sample_steps,
)
from schedalg.parameterization import PARAMETERIZATIONS
from schedalg.running import philox
from schedalg.running.backend import Update
from schedalg.running.reference import Functional, ReferenceBackend
from schedalg.running.rows import Rows, rows_of
from schedalg.testing import check_backend

cupy = pytest.importorskip("cupy", exc_type=ImportError)

from schedalg_cupy.fused import Fused, normal  # noqa: E402
from schedalg_cupy.kernels import CupyKernels  # noqa: E402
from schedalg_cupy.source import NORMAL, SOURCE, STEP, Signature  # noqa: E402
from schedalg_cupy.stack import FusedStack  # noqa: E402

from tests.running.few import plans_of_all_kinds  # noqa: E402

FAST = Schedule.linear(1000).subsample(steps=6)
KARRAS = Schedule.karras(6)
X = np.random.default_rng(0).standard_normal((3, 2, 3, 3))  # 18 elements: not all fours
KEYS = np.array([[7, 0], [2**64 - 1, 3], [7, 1]], dtype=np.uint64)
#: NumPy's dtypes: what C++ calls them, CUDA, and what each is computed in.
TYPES = {
    "float16": ("_Float16", "__half", "float"),
    "float32": ("float", "float", "float"),
    "float64": ("double", "double", "double"),
}
WORDS = {"bool": "bool", "int64": "long long", "uint64": "unsigned long long"}


def parameters(signature: Signature, t: str, r: str) -> list[str]:
    """Return the parameters of a kernel as C++ declares them, arrays as pointers."""
    types = {"T": t, "R": r, **WORDS}
    declared = []
    for group, const in ((signature.reads, "const "), (signature.writes, "")):
        for raw, kind, name in re.findall(r"(raw )?(\w+) (\w+)", group):
            declared.append(f"{const}{types[kind]}{'*' if raw else ''} {name}")
    return declared


SHIM = """
#include <math.h>
#define __device__
static unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
static void sincospi(double x, double* s, double* c) { *s = sin(M_PI * x); *c = cos(M_PI * x); }
static void sincospif(float x, float* s, float* c)
{
    *s = (float)sin(M_PI * x);
    *c = (float)cos(M_PI * x);
}
"""


def looped(signature: Signature, dtype: str) -> str:
    """Return a C function that does a kernel's operation for every item."""
    t, _, r = TYPES[dtype]
    declared = ", ".join(["long long items", *parameters(signature, t, r)])
    return f"""
    extern "C" void {signature.name}_{dtype}({declared})
    {{
        typedef {t} T;
        for (long long i = 0; i < items; ++i) {signature.operation};
    }}
    """


class Compiled:
    """The kernels as a library of C functions; see `schedalg_cupy.kernels.Kernels`."""

    xp = np

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.launches = 0

    def on_device(self, x: np.ndarray) -> AbstractContextManager[Any]:
        """Return a context for nothing: all arrays are in one place."""
        return nullcontext()

    def stream(self, x: np.ndarray) -> str:
        """Return a name for the one place."""
        return "compiled for the CPU"

    def step(self, *arguments: Any, size: int) -> None:
        """Run `STEP`."""
        self.launches += 1
        self.call(STEP, arguments, size)

    def normal(self, *arguments: Any, size: int) -> None:
        """Run `NORMAL`."""
        self.call(NORMAL, arguments, size)

    def call(self, signature: Signature, arguments: tuple[Any, ...], size: int) -> None:
        """Call the function for T, if the arguments are such as CuPy would take."""
        t = arguments[-1].dtype
        types = {"T": t, "R": np.promote_types(t, np.float32)}
        types |= {"uint64": np.uint64, "int64": np.int64}
        scalars = {"int64": ctypes.c_longlong, "uint64": ctypes.c_ulonglong, "bool": ctypes.c_bool}
        listed = re.findall(r"(raw )?(\w+) (\w+)", f"{signature.reads}, {signature.writes}")
        given: list[Any] = [ctypes.c_longlong(size)]
        for (raw, kind, name), argument in zip(listed, arguments, strict=True):
            if not raw:
                given.append(scalars[kind](int(argument)))
                continue
            assert argument.dtype == types[kind], name
            assert argument.flags.c_contiguous or name in ("d", "output", "variance"), name
            given.append(ctypes.c_void_p(argument.ctypes.data))
        getattr(self.library, f"{signature.name}_{t}")(*given)


class OnHost(ReferenceBackend):
    """The backend as it is on a GPU, but for where the arrays are."""

    def __init__(self, kernels: Compiled) -> None:
        self.kernels = kernels

    def normal(self, x: Any, keys: np.ndarray, words: Sequence[int]) -> Any:
        """Return noise from the kernel."""
        return normal(x, keys, words, self.kernels)

    def update(  # type: ignore[override]
        self, rows: Rows, x: Any, keys: np.ndarray | None, *, reuse: bool
    ) -> Update:
        """Return the kernel's update."""
        return Fused(rows, x, keys, reuse=reuse, kernels=self.kernels)


class Plain(ReferenceBackend):
    """The reference: operations that return new arrays."""

    def update(  # type: ignore[override]
        self, rows: Rows, x: Any, keys: np.ndarray | None, *, reuse: bool
    ) -> Update:
        """Return the reference's update."""
        return Functional(rows, keys)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Give the source compiled as C++."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    folder = tmp_path_factory.mktemp("cpp")
    (folder / "half.cpp").write_text("_Float16 half(float x) { return x; }")
    half = subprocess.run(
        ["g++", "-c", "half.cpp", "-o", "half.o"], cwd=folder, capture_output=True, check=False
    )
    dtypes = [dtype for dtype in TYPES if dtype != "float16" or half.returncode == 0]
    functions = [looped(s, dtype) for s in (STEP, NORMAL) for dtype in dtypes]
    (folder / "kernel.cpp").write_text(SHIM + SOURCE + "".join(functions))
    command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "kernel.cpp", "-o", "kernel.so"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Compiled(ctypes.CDLL(str(folder / "kernel.so")))


def network(x: Any, timesteps: Any) -> Any:
    return np.tanh(x / 40) + timesteps[:, None, None, None].astype(x.dtype) / 4000


def with_variance(x: Any, timesteps: Any) -> Any:
    return np.concatenate([network(x, timesteps), np.sin(x)], axis=1)


@pytest.mark.parametrize("clip", [None, (-1.0, 1.0)], ids=["free", "clipped"])
@pytest.mark.parametrize(
    ("sampler", "schedule"),
    [
        (DDIM(), FAST),
        (DPMSolverPP(2), FAST),
        (UniPC(2), FAST),
        (Heun(), KARRAS),
        (LMS(4), KARRAS),
        (LMS(4), FAST),
        (DDPM(), FAST),
        (DDPM("learned_range"), FAST),
        (EulerAncestral(), KARRAS),
    ],
    ids=repr,
)
def test_whole_plans_agree_with_the_reference(
    sampler: Any, schedule: Schedule, clip: Any, compiled: Compiled, monkeypatch: Any
) -> None:
    model = with_variance if sampler == DDPM("learned_range") else network
    how: dict[str, Any] = {"clip": clip, "noise": [5, 6, 7]}
    for dtype, within in (("float64", 1e-12), ("float32", 1e-5)):
        start = (schedule.prior_std * X).astype(dtype)
        kept = start.copy()
        monkeypatch.setattr("schedalg.running.backend._REFERENCE", Plain())
        expected = sample(model, schedule, sampler, start, **how)
        monkeypatch.setattr("schedalg.running.backend._REFERENCE", OnHost(compiled))
        before = compiled.launches
        result = sample(model, schedule, sampler, start, **how)
        assert compiled.launches - before == len(sampler.plan(schedule))
        np.testing.assert_allclose(result, expected, 0, within * np.abs(expected).max())
        steps = list(sample_steps(model, schedule, sampler, start, **how))
        np.testing.assert_array_equal(steps[-1], result)
        np.testing.assert_array_equal(start, kept)


def test_the_source_passes_the_conformance_suite(compiled: Compiled, monkeypatch: Any) -> None:
    monkeypatch.setattr("schedalg.running.backend._REFERENCE", OnHost(compiled))
    dtypes = [dtype for dtype in TYPES if hasattr(compiled.library, f"step_{dtype}")]
    check_backend(lambda values, dtype: np.asarray(values, dtype=dtype), dtypes[::-1])


@pytest.mark.parametrize("count", [1, 4, 18, 1023])
@pytest.mark.parametrize("words", [(0, 0, 0), (-5, 1, 2), (2**63 - 1, 3, 1)])
def test_noise_is_that_of_philox(count: int, words: Any, compiled: Compiled) -> None:
    for dtype, within in (("float64", 1e-13), ("float32", 2e-6)):
        drawn = normal(np.zeros((3, count), dtype), KEYS, words, compiled)
        np.testing.assert_allclose(drawn, philox.normal(KEYS, words, count), 0, within)


def test_a_run_owns_two_arrays_and_two_inputs_at_most(compiled: Compiled) -> None:
    for schedule in (FAST, KARRAS):
        for holds in (False, True):
            plan = UniPC(2).plan(schedule)
            update = Fused(
                rows_of(plan, X, PARAMETERIZATIONS["epsilon"]),
                X,
                None,
                reuse=True,
                kernels=compiled,
            )
            after = X
            places = set()
            for k in range(len(plan)):
                shown = update.input(k, after)
                after = update(k, after, shown if holds else np.tanh(shown), None, None, None)
                places.add(after.ctypes.data)
            assert len(places) == 2
            assert len(update.inputs) <= 2


@pytest.mark.parametrize("clip", [None, (-1.0, 1.0)], ids=["free", "clipped"])
def test_a_sample_of_a_pool_is_to_the_bit_what_it_is_alone(
    clip: Any, compiled: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = plans_of_all_kinds(FAST)
    monkeypatch.setattr("schedalg.running.backend._REFERENCE", OnHost(compiled))
    monkeypatch.setattr(
        "schedalg.running.together.NumpyStack", partial(FusedStack, kernels=compiled)
    )
    pool = Pool(with_variance, X.shape[1:], len(plans), like=X, clip=clip)
    finished: dict[int, Any] = {}
    tickets: list[int] = []
    for seed, plan in enumerate(plans):
        tickets.append(pool.add(plan, seed=seed, x=X[seed % 3]))
        before = compiled.launches
        finished |= pool.step()
        assert compiled.launches - before == 1
    finished |= pool.drain()
    for seed, (plan, ticket) in enumerate(zip(plans, tickets, strict=True)):
        alone = run(plan, with_variance, X[seed % 3, None], noise=[seed], clip=clip)
        np.testing.assert_array_equal(finished[ticket], alone[0])


def test_what_is_multiplied_by_0_is_left_out(compiled: Compiled) -> None:
    """The last step of DDIM takes nothing of x where the network predicts x0."""
    plan = DDIM().plan(FAST[:1])
    rows = rows_of(plan, X, PARAMETERIZATIONS["x0"])
    assert rows.rows[0].x == 0
    update = Fused(rows, X, None, reuse=True, kernels=compiled)
    np.testing.assert_allclose(update(0, np.full_like(X, np.inf), X, None, None, None), X)


@pytest.mark.parametrize("signature", [STEP, NORMAL], ids=lambda signature: signature.name)
def test_kernels_hand_the_functions_what_they_take(signature: Signature) -> None:
    """The same names, in the same order, of the same types as in the source."""
    found = re.search(rf"__device__ void {signature.name}\((.*?)\)\n{{", SOURCE, re.DOTALL)
    assert found is not None
    item, *declared = (" ".join(part.split()) for part in found[1].split(","))
    assert item == "Index item"
    names = {"Index": "long long", "Word": "unsigned long long", "typename Real<T>::type": "R"}
    for short, long in names.items():
        declared = [part.replace(short, long) for part in declared]
    expected = parameters(signature, "T", "R")
    scalar = [part if "*" in part else part.removeprefix("const ") for part in expected]
    assert declared == scalar
    kernel = getattr(CupyKernels(), signature.name)
    *listed, indexer = kernel.params
    assert indexer.name == "_ind"
    assert [p.name for p in listed] == [part.split()[-1] for part in expected]
    assert kernel.nin == len(signature.reads.split(", "))
    given = re.findall(r"&(\w+)\[0\]|(\w+)(?=[,)])", kernel.operation)
    assert ["".join(names) for names in given] == ["i", *(p.name for p in listed)]
    assert [p.name for p in listed if p.raw] == [array for array, _ in given if array]


@pytest.mark.parametrize("dtype", list(TYPES))
def test_the_source_compiles_for_gpus(dtype: str, tmp_path: Path) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("needs nvcc")
    _, t, r = TYPES[dtype]
    kernels = []
    for signature in (STEP, NORMAL):
        declared = ", ".join(["long long items", *parameters(signature, t, r)])
        kernels.append(f"""
        extern "C" __global__ void schedalg_{signature.name}({declared})
        {{
            for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < items;
                 i += (long long)blockDim.x * gridDim.x) {{
                {signature.operation};
            }}
        }}
        """)
    source = f"#include <cuda_fp16.h>\ntypedef {t} T;\n{SOURCE}{''.join(kernels)}"
    (tmp_path / "kernel.cu").write_text(source)
    command = ["nvcc", "-std=c++17", "-arch=sm_80", "-Werror", "all-warnings", "-ptx", "kernel.cu"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assembly = (tmp_path / "kernel.ptx").read_text()
    wide = {"float16": r"v4\.\w?16", "float32": r"v4\.\w?32", "float64": r"v2\.\w?64"}[dtype]
    for access in ("ld", "st"):
        assert re.search(rf"{access}\.global\.{wide}", assembly), "four elements at a time"
    assert dtype == "float64" or ".f64" not in assembly, "nothing is computed in double"
