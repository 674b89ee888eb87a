"""The kernels: run by Triton's interpreter, compiled for two generations of GPU, and on one."""

import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from schedalg.testing import check_backend  # noqa: E402
from tests.torch.tried import on_gpu  # noqa: E402


def test_the_kernels_do_what_the_rows_say_in_the_interpreter() -> None:
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.interpreted"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


FLAGS = {
    "DEPTH": 2,
    "READ": True,
    "RAW": True,
    "NOISE": 2,
    "LEARNED": True,
    "WRITES_INPUT": True,
    "TOGETHER": False,
    "EACH": False,
}


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16", "fp64"])
@pytest.mark.parametrize(
    "flags",
    [
        FLAGS,
        {**FLAGS, "READ": False, "NOISE": 1, "TOGETHER": True, "EACH": True},
        dict.fromkeys(FLAGS, 0),
        {**FLAGS, "count": 1, "channels": 1, "ring_apart": 1},  # Triton makes constants of ones
    ],
    ids=["everything", "channels last", "plain", "one number"],
)
def test_the_kernels_compile(dtype: str, flags: dict[str, Any], capability: int) -> None:
    pytest.importorskip("triton")
    assembly = compiled("step", dtype, {**flags, "BLOCK": 1024}, capability)
    accesses = re.findall(r"(ld|st)\.global\.v4\.b32", assembly)
    if dtype != "fp64" and not flags["TOGETHER"] and "count" not in flags:
        assert {"ld", "st"} <= set(accesses), "16 bytes at a time"
    compiled("normal", dtype, {"TOGETHER": flags["TOGETHER"], "BLOCK": 1024}, capability)


def test_rows_of_samples_are_read_16_bytes_at_a_time() -> None:
    pytest.importorskip("triton")
    assembly = compiled("step", "fp32", {**FLAGS, "EACH": True, "BLOCK": 1024}, 90)
    assert {"ld", "st"} <= set(re.findall(r"(ld|st)\.global\.v4\.b32", assembly))


def compiled(name: str, dtype: str, flags: dict[str, Any], capability: int) -> str:
    """Return the assembly of a kernel for arguments that divide by 16, as in most runs."""
    import triton
    import triton.language as tl
    from schedalg_torch import kernel
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = getattr(kernel, name)
    real = tl.float64 if dtype == "fp64" else tl.float32
    flags = {**flags, "REAL": real}
    integers = ("count", "channels", "d_apart", "raw_apart", "variance_apart", "ring_apart")
    special = dict.fromkeys(("keys", "draws", "words", "row_at"), "*i64")
    special |= {"table": "*fp64" if dtype == "fp64" else "*fp32"}
    names = function.arg_names
    types = {n: special.get(n, "i32" if n in integers else f"*{dtype}") for n in names}
    source = ASTSource(
        fn=function,
        signature={n: "constexpr" if n in flags else types[n] for n in names},
        constexprs={(names.index(n),): value for n, value in flags.items()},
        attrs={(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if n not in flags},
    )
    target = GPUTarget("cuda", capability, 32)
    made = triton.compile(source, target=target, options={"enable_fp_fusion": True})
    return str(made.asm["ptx"])


@on_gpu
@pytest.mark.parametrize("last", [False, True])
def test_the_kernels_do_what_the_rows_say_on_a_gpu(last: bool) -> None:
    def make(values: np.ndarray, dtype: str) -> Any:
        x = torch.tensor(values, dtype=getattr(torch, dtype), device="cuda")
        if last and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        return x

    check_backend(make, ["float64", "float32", "float16", "bfloat16"])
