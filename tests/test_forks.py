"""A fork while another thread is at work leaves a child that works."""

import os
import subprocess
import sys

import pytest

if not hasattr(os, "fork"):
    pytest.skip("there is no fork here", allow_module_level=True)

#: A thread does something, the process forks, and the child does the same.
FORKED = """
import os, threading, time
{imports}

def work():
    {work}

at_work = threading.Event()
def first():
    {before}
    work()
thread = threading.Thread(target=first)
thread.start()
at_work.wait()
time.sleep(0.05)
child = os.fork()
if child == 0:
    work()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
thread.join()
work()
"""


def forked(imports: str, work: str, before: str = "at_work.set()") -> str:
    code = FORKED.format(imports=imports, work=work, before=before)
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=150,  # a child that hangs ends the test, and not the suite
    )
    assert result.stderr == ""
    return result.stdout.strip()


SAMPLED = """
import torch
from schedalg import DDIM, Schedule, sample
schedule, x = Schedule.linear(4), torch.ones(1, 2)
"""


def test_of_a_thread_that_compiles() -> None:
    pytest.importorskip("numba")
    pytest.importorskip("torch")
    work = "sample(lambda x, t: x, schedule, DDIM(), x)"
    assert forked(SAMPLED, work) == "7"


def test_of_a_thread_whose_own_code_numba_compiles() -> None:
    pytest.importorskip("numba")
    pytest.importorskip("torch")
    imports = (
        SAMPLED + "import numba, numpy, schedalg_torch.loop\nown = numba.njit(lambda x: x @ x)"
    )
    work = "own(numpy.eye(3)); sample(lambda x, t: x, schedule, DDIM(), x)"
    assert forked(imports, work) == "7"


@pytest.mark.parametrize("lock", ["_PLANS._lock", "_ROWS._lock", "WORK"])
def test_of_a_thread_that_holds_a_lock(lock: str) -> None:
    imports = """
import numpy as np
from schedalg import DDPM, Schedule, sample
from schedalg.forks import WORK
from schedalg.running.rows import _ROWS
from schedalg.running.plans import _PLANS
"""
    work = f"""
    with {lock}:
        time.sleep(0.2)
    sample(lambda x, t: x, Schedule.linear(4), DDPM(), np.ones((1, 2)), noise=3)"""
    assert forked(imports, work) == "7"


POOLED = """
import numpy as np
from schedalg import DDIM, Pool, Schedule
plan = DDIM().plan(Schedule.linear(4))
def network(x, timesteps):
    time.sleep(0.1)
    return x
pool = Pool(network, (2,), 1000)
pool.add(plan, seed=1)
"""


def test_of_a_thread_that_holds_the_lock_of_a_pool() -> None:
    work = """
    with pool._lock:
        pool.add(plan, seed=2)
        time.sleep(0.2)"""
    assert forked(POOLED, work) == "7"


def test_of_a_thread_that_steps_a_pool() -> None:
    """The child can step the pool, of which the thread that began a step is not there."""
    work = """
    for _ in range(20):
        try:
            pool.step()
            break
        except ValueError:  # in the process that forks, where that thread ends its steps
            time.sleep(0.05)
    else:
        raise AssertionError"""
    assert forked(POOLED, work, "at_work.set()\n    pool.drain()") == "7"


def test_of_a_pool_that_is_gone() -> None:
    assert forked(POOLED, "globals().pop('pool', None)") == "7"
