"""What the server of `serve.py` withstands, and what joining a batch at any time is worth.

    python docs/examples/server/load.py

Thousands of requests of 5, 20 and 50 steps arrive at random. Some clients go away, and the network
raises now and then; every answer is compared with what `schedalg.run` returns, to the last bit.
Then requests per second are measured against batches that wait for their slowest sample.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from serve import DIGITS, IMAGE_SHAPE, FloatArray, Server, plan_for

from schedalg import Pool, initial_noise, run

sys.path.insert(0, str(DIGITS))
from network import DigitsNetwork

STEPS = (5, 20, 50)
LIKE = np.empty(0, dtype=np.float32)

Network = Callable[..., FloatArray]
#: The sampler, steps, label and seed of a request.
Asked = tuple[str, int, int, int]


def one_by_one(network: Network) -> Network:
    """Return the network called for each sample alone.

    The sums of a product of matrices are taken in an order that depends on the number of rows, so
    that a sample differs in its last digits between batches of different sizes. This one does not.
    """

    def called(x: FloatArray, timesteps: Any, labels: Any) -> FloatArray:
        parts = [slice(i, i + 1) for i in range(len(x))]
        return np.concatenate([network(x[i], timesteps[i], labels[i]) for i in parts])

    return called


def padded(network: Network, size: int) -> Network:
    """Return the network called with `size` samples always, as one that is compiled for a shape."""

    def called(x: FloatArray, timesteps: Any, labels: Any) -> FloatArray:
        given = len(x)
        whole = [np.resize(each, (size, *each.shape[1:])) for each in (x, timesteps, labels)]
        return network(*whole)[:given]

    return called


class Unreliable:
    """A network that raises in one of 50 calls, and in two of 300 that follow one another."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.calls = 0

    def __call__(self, x: FloatArray, timesteps: Any, labels: Any) -> FloatArray:
        """Return the network's output, or raise."""
        self.calls += 1
        if self.calls % 50 == 10 or self.calls % 300 in (30, 31):
            raise MemoryError("a batch was too large")
        return self.network(x, timesteps, labels)


def alone(network: Network, asked: Asked) -> FloatArray:
    """Return the sample of a request, made without a pool."""
    sampler, steps, label, seed = asked
    plan = plan_for(sampler, steps)
    x = initial_noise(plan.schedule, (1, *IMAGE_SHAPE), [seed], like=LIKE)
    image: FloatArray = run(plan, network, x, clip=(-1, 1), noise=[seed], labels=np.array([label]))[
        0
    ]
    return image


async def withstood(
    network: Network, count: int, *, steps: tuple[int, ...] = STEPS, capacity: int = 16
) -> Counter[str]:
    """Return how many requests were answered, given up by their clients, and asked again.

    Raises:
        ValueError: A request was lost, or an answer is wrong.
    """
    rng = np.random.default_rng(0)
    unreliable = Unreliable(one_by_one(network))
    server = Server(Pool(unreliable, IMAGE_SHAPE, capacity, like=LIKE, clip=(-1, 1)))
    serving = asyncio.create_task(server.serve())
    happened: Counter[str] = Counter()

    async def client(asked: Asked, arrives: float, patience: float | None) -> None:
        await asyncio.sleep(arrives)
        sampler, number, label, seed = asked
        while True:
            request = server.sample(plan_for(sampler, number), seed=seed, labels=label)
            try:
                image = await asyncio.wait_for(request, patience)
            except TimeoutError:
                happened["left"] += 1
                return
            except MemoryError:
                happened["asked again"] += 1
                continue
            break
        if image.tobytes() != alone(network, asked).tobytes():
            raise ValueError(f"the answer to {asked} is not what it is alone")
        happened["answered"] += 1

    clients = [
        client(
            (
                str(rng.choice(["ddim", "ddpm"])),
                int(rng.choice(steps)),
                int(rng.integers(10)),
                int(rng.integers(2**62)),
            ),
            arrives=rng.exponential(0.002 * count),
            patience=0.01 if rng.random() < 0.05 else None,
        )
        for _ in range(count)
    ]
    await asyncio.gather(*clients)
    serving.cancel()
    if happened["answered"] + happened["left"] != count:
        raise ValueError(f"of {count} requests, these came to an end: {dict(happened)}")
    return happened


def joining(network: Network, asked: list[Asked], capacity: int) -> None:
    """Sample all requests in a pool that they join as soon as there is room."""
    pool = Pool(network, IMAGE_SHAPE, capacity, like=LIKE, clip=(-1, 1))
    for sampler, steps, label, seed in asked:
        while len(pool) == capacity:
            pool.step()
        pool.add(plan_for(sampler, steps), seed=seed, labels=label)
    pool.drain()


def waiting(network: Network, asked: list[Asked], capacity: int) -> None:
    """Sample them in batches, each of which waits for its slowest sample."""
    pool = Pool(network, IMAGE_SHAPE, capacity, like=LIKE, clip=(-1, 1))
    for start in range(0, len(asked), capacity):
        for sampler, steps, label, seed in asked[start : start + capacity]:
            pool.add(plan_for(sampler, steps), seed=seed, labels=label)
        pool.drain()


def seconds(function: Callable[[], None]) -> float:
    """Return the seconds of processor time that a call takes."""
    start = time.process_time()
    function()
    return time.process_time() - start


def main() -> None:
    """Print what happened, and what joining is worth."""
    network = DigitsNetwork.load(DIGITS / "weights.npz")
    happened = asyncio.run(withstood(network, 2000))
    print("of 2000 requests: " + ", ".join(f"{count} {what}" for what, count in happened.items()))
    rng = np.random.default_rng(1)
    asked: list[Asked] = [
        ("ddim", int(rng.choice(STEPS)), int(rng.integers(10)), seed) for seed in range(200)
    ]
    kinds: dict[str, Network] = {
        "batches of any size": network,
        "always 16 samples": padded(network, 16),
    }
    for name, model in kinds.items():
        times = [
            [seconds(partial(way, model, asked, 16)) for way in (waiting, joining)]
            for _ in range(3)
        ]
        slow, fast = map(min, zip(*times, strict=True))
        print(f"{name}: {slow / fast:.2f} times as many requests a second as batches that wait")


if __name__ == "__main__":
    main()
