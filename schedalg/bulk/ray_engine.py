"""Blocks of samples made by actors of Ray, each with a network of its own.

Ray Data would cut batches where its own blocks end, and give files random names. Actors are given
the blocks of the folder and write them as this process does, so that a folder does not show what
made it.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from schedalg.bulk.folder import Folder
from schedalg.bulk.making import Maker, Network
from schedalg.bulk.seeds import seeds_named
from schedalg.checks import positive_integer, shown
from schedalg.plugins import imported

#: How often an actor that died is started again, and a block is tried again.
RESTARTS = 3


class Worker:
    """What an actor is: a folder, and a network that was made where the actor runs.

    Args:
        folder: The folder, which the actor sees under the same path.
        network: The network by name.
    """

    def __init__(self, folder: Folder, network: Network) -> None:
        self.folder = folder
        self.network = network
        self.maker: Maker | None = None

    def begin(self) -> Maker:
        """Make the network, and see that the folder was made with the same versions."""
        if self.maker is None:  # an actor that was started again has none
            self.maker = Maker(self.folder.layout.recipe, self.network)
            self.folder.claim(self.maker.made_with())
        return self.maker

    def ready(self) -> None:
        """Begin."""
        self.begin()

    def make(self, block: int) -> None:
        """Make a block, and write it."""
        samples = self.begin().block(self.folder.layout.seeds_of(block))
        self.folder.deliver(block, samples)


def check_network(network: Network) -> None:
    """Raise if a network cannot be made where an actor runs.

    Raises:
        TypeError: It, or what goes with it, was not given by name.
    """
    if not isinstance(network.model, str):
        raise TypeError(
            'model must be the name of a factory, "package.module:factory", with engine="ray": '
            f"each actor makes a network of its own; got {shown(network.model)}"
        )
    if network.like is not None:
        raise TypeError(
            'like must be None with engine="ray": the factory returns (network, like), an array on '
            "the actor's device"
        )
    for name in ("cond", "uncond"):
        if not isinstance(getattr(network, name), str | Mapping | None):
            raise TypeError(
                f"{name} must be a mapping, or the name of a function, "
                f'"package.module:function", with engine="ray"; got '
                f"{shown(getattr(network, name))}"
            )


def checked_actors(actors: Any, options: Any) -> tuple[int, dict[str, Any]]:
    """Return how many actors there are, and Ray's options for each.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: There are none.
    """
    if not isinstance(options, Mapping | None) or not all(
        isinstance(k, str) for k in options or ()
    ):
        raise TypeError(
            f"actor_options must be a mapping, such as {{'num_gpus': 1}}, got {shown(options)}"
        )
    usual = {"max_restarts": RESTARTS, "max_task_retries": RESTARTS}
    return positive_integer("actors", actors), {**usual, **(options or {})}


@contextmanager
def _connected() -> Iterator[Any]:
    """Yield Ray, connected to a cluster: the one of this process, of RAY_ADDRESS, or a new one.

    Raises:
        ImportError: Ray is not installed.
        ConnectionError: There is no cluster at RAY_ADDRESS, or it is not to be joined.
    """
    ray = imported("ray", 'engine="ray"', "ray")
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS", "")
    _check_reachable(address)
    try:
        ray.init(log_to_driver=False)
    except (ConnectionError, RuntimeError) as error:
        if not address:
            raise
        raise ConnectionError(
            f"engine='ray' cannot join the cluster at RAY_ADDRESS={address}: {str(error).strip()}. "
            "Is it of the same version of Ray, and has this process its token, in RAY_AUTH_TOKEN "
            "or in the file ~/.ray/auth_token?"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise if nothing answers at host:port, which Ray would try for minutes.

    Raises:
        ConnectionError: Nothing does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():  # a word such as "auto", or none
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise ConnectionError(
            f"engine='ray' finds no cluster at RAY_ADDRESS={address} ({error}): start one with "
            "`ray start --head`, or unset RAY_ADDRESS for one on this machine"
        ) from error


def made_on_ray(
    folder: Folder, network: Network, blocks: list[int], actors: int, options: Mapping[str, Any]
) -> Iterator[int]:
    """Make blocks on a cluster of Ray, and yield each when it is there, in whatever order.

    Args:
        folder: The folder.
        network: The network by name.
        blocks: What is to be made.
        actors: How many actors make it, at most one for each block.
        options: Ray's options for each.

    Raises:
        ImportError: Ray is not installed.
        ConnectionError: There is no cluster at RAY_ADDRESS.
        RuntimeError: An actor died too often. What was made is kept.
        Exception: What an actor raises: as in this process.
    """
    with _connected() as ray:
        kind = ray.remote(Worker).options(**options)
        workers = [kind.remote(folder, network) for _ in range(min(actors, len(blocks)))]
        left = list(reversed(blocks))
        # Each is given blocks when it is there: some may wait until the cluster has room for them.
        running: dict[Any, tuple[Any, int | None]] = {
            worker.ready.remote(): (worker, None) for worker in workers
        }
        try:
            while running and (left or any(block is not None for _, block in running.values())):
                (done, *_), _ = ray.wait(list(running))
                worker, block = running.pop(done)
                _await(ray, done, folder, block)
                if left:
                    following = left.pop()
                    running[worker.make.remote(following)] = worker, following
                if block is not None:
                    yield block
        finally:
            for worker in workers:
                ray.kill(worker)


def _await(ray: Any, done: Any, folder: Folder, block: int | None) -> None:
    """Wait for what an actor does.

    Raises:
        RuntimeError: It died too often, or Ray failed otherwise.
        Exception: What it raised.
    """
    try:
        ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        what = "making the network"
        if block is not None:
            seeds = folder.layout.seeds_of(block)
            what = f"making block {block}, seeds {seeds_named(seeds)}"
        raise RuntimeError(
            f"an actor of Ray ended while {what}, and was started again in vain, or the cluster is "
            "gone. What is done is kept: call the same again"
        ) from error
