"""Actors of Ray make the same bytes as this process, however many, in any order, and if killed."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schedalg import generate
from schedalg.bulk import ray_engine
from schedalg.bulk.folder import Folder
from tests.bulk.few import RECIPE, held, network

ray = pytest.importorskip("ray")

HERE = "tests.bulk.test_ray"
ROOT = Path(__file__).parents[2]
COUNT = 20
CORES = {"num_cpus": 0.5}
#: What actors import from.
PATHS = os.pathsep.join([str(ROOT), *sys.path])

# Ray leaves sockets and files to the collector.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[str]:
    """Have a cluster of Ray in this process, and return its address."""
    context = ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": PATHS}},
    )
    yield context.address_info["address"]
    ray.shutdown()


def on_ray(out: Path, name: str = "factory", **options: Any) -> None:
    usual = {"batch_size": 3, "engine": "ray", "actors": 2, "actor_options": CORES}
    model = f"{HERE if name in globals() else 'tests.bulk.few'}:{name}"
    generate(RECIPE, model, range(COUNT), out, **{**usual, **options})


def samples(out: Path) -> dict[str, bytes]:
    """Return the files of a folder, but `recipe.json`, which has the name of the factory."""
    return {name: data for name, data in held(out).items() if name != "recipe.json"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that this process makes."""
    out = tmp_path_factory.mktemp("whole")
    generate(RECIPE, "tests.bulk.few:factory", range(COUNT), out, batch_size=3)
    return out


@pytest.mark.parametrize("actors", [1, 2, 3])
def test_actors_make_the_same_folder_in_any_order(
    tmp_path: Path, whole: Path, actors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Folder.missing

    def shuffled(self: Folder, blocks: Any) -> list[int]:
        found = missing(self, blocks)
        random.Random(actors).shuffle(found)
        return found

    monkeypatch.setattr(Folder, "missing", shuffled)
    on_ray(tmp_path, actors=actors)
    assert held(tmp_path) == held(whole)
    monkeypatch.undo()
    on_ray(tmp_path, actors=actors)  # there is nothing left to do
    assert held(tmp_path) == held(whole)


def test_a_file_that_is_put_together_at_the_end_is_the_same(tmp_path: Path) -> None:
    on_ray(tmp_path / "ray", format="npz", cond={}, actors=1)
    on_ray(tmp_path / "here", format="npz", engine="embedded")
    assert held(tmp_path / "ray") == held(tmp_path / "here")


def test_one_engine_takes_up_what_the_other_began(tmp_path: Path, whole: Path) -> None:
    on_ray(tmp_path, part=(1, 3), actors=1)
    on_ray(tmp_path, part=(0, 3), engine="embedded")
    on_ray(tmp_path, actors=1)
    assert held(tmp_path) == held(whole)


def dying() -> Any:
    """Return a network that kills its process once, in the middle of a block."""
    marker = Path(os.environ.get("DIED", "died"))

    def model(x: Any, timesteps: Any) -> Any:
        if timesteps[0] < 600 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return network(x, timesteps)

    return model


def test_an_actor_that_is_killed_is_started_again(tmp_path: Path, whole: Path) -> None:
    marker = tmp_path / "died"
    place = {"env_vars": {"DIED": str(marker), "PYTHONPATH": PATHS}}
    on_ray(tmp_path / "out", "dying", actor_options={**CORES, "runtime_env": place})
    assert marker.exists()
    assert samples(tmp_path / "out") == samples(whole)


def dead() -> Any:
    """Return a network that kills its process whenever it is called."""
    return lambda x, timesteps: os.kill(os.getpid(), signal.SIGKILL)


def test_an_actor_that_dies_again_and_again_names_its_block(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"ended while making block \d, seeds .* call the same"):
        on_ray(tmp_path, "dead", actors=1)


def test_faults_are_those_of_this_process(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="NaN or infinity for seeds 1 in call 0") as caught:
        on_ray(tmp_path, "nan_network", actors=1)
    assert caught.value.__notes__ == ["while making the samples of seeds 0, 1, 2"]
    with pytest.raises(ValueError, match=r"tests.bulk.few has no missing"):
        on_ray(tmp_path / "missing", "missing", actors=1)


def test_a_cluster_that_is_not_there_is_an_error_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for name in (address, f"ray://{address}"):
        with pytest.raises(ConnectionError, match=f"no cluster at RAY_ADDRESS={name}"):
            ray_engine._check_reachable(name)
    ray_engine._check_reachable("")
    ray_engine._check_reachable("auto")


def waiting() -> Any:
    """Return a network that waits before the third block until a file is there."""
    go = Path(os.environ["GO"])

    def model(x: Any, timesteps: Any) -> Any:
        while len(list(go.parent.rglob("*.npy"))) >= 2 and not go.exists():
            time.sleep(0.01)
        return network(x, timesteps)

    return model


def test_a_driver_that_is_killed_is_started_again(
    tmp_path: Path, whole: Path, cluster: str
) -> None:
    go, out = tmp_path / "go", tmp_path / "out"
    options = {**CORES, "runtime_env": {"env_vars": {"GO": str(go), "PYTHONPATH": PATHS}}}
    code = f"""
import ray
ray.init(address={cluster!r}, log_to_driver=False)
from pathlib import Path
from tests.bulk.test_ray import on_ray
on_ray(Path({str(out)!r}), "waiting", actor_options={options!r})
"""
    driver = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": PATHS}
    )
    while len(list(out.glob("*.npy"))) < 2:  # by name: others are being written and renamed
        assert driver.poll() is None
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    assert len(list(out.glob("*.npy"))) < 4  # two actors may each be within a block
    time.sleep(1)  # until Ray has ended the actors of a driver that is gone
    go.touch()
    on_ray(out, "waiting", actor_options=options)
    assert samples(out) == samples(whole)
