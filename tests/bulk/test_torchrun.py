"""The script of the docs for torchrun, run by two processes, makes the folder of one."""

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schedalg import DDIM, Recipe, Schedule, generate
from tests.bulk.few import held

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]

#: What torchrun does, but that torch is imported once.
LAUNCHER = """
import os, runpy, sys
import torch.distributed

address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": sys.argv[1], "WORLD_SIZE": "2"}
children = []
for rank in ("0", "1"):
    child = os.fork()
    if child == 0:
        os.environ.update(address, RANK=rank, LOCAL_RANK=rank)
        sys.argv = ["sample_all.py", "many"]
        runpy.run_path("sample_all.py", run_name="__main__")
        os._exit(0)
    children.append(child)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_two_processes_make_the_folder_of_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "bulk.md").read_text()
    (script,) = re.findall(r"```py\n(# torchrun .*?)```", page, re.DOTALL)
    schedule = Schedule.linear(1000).subsample(steps=3)
    recipe = Recipe(schedule=schedule, sampler=DDIM(), shape=(16,))
    (tmp_path / "sample_all.py").write_text(script)
    (tmp_path / "my_recipe.json").write_text(recipe.to_json())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = subprocess.run(
        [sys.executable, "-c", LAUNCHER, str(port)], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    torch.manual_seed(0)
    network = torch.nn.Linear(16, 16).requires_grad_(False)

    def model(x: Any, timesteps: Any) -> Any:
        return network(x)

    generate(recipe, model, range(100), tmp_path / "one", batch_size=8, like=network.weight)
    assert held(tmp_path / "many") == held(tmp_path / "one")
    assert len(held(tmp_path / "one")) == 14
