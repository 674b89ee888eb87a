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
from collections import Counter, deque
from collections.abc import Callable
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


def joining(network: Network, asked: list[Asked], capacity: int) -> int:
    """Sample all requests in a pool that they join as soon as there is room; return the calls."""
    pool, calls = Pool(network, IMAGE_SHAPE, capacity, like=LIKE, clip=(-1, 1)), 0
    queue = deque(asked)
    while queue or len(pool):
        while queue and len(pool) < capacity:
            sampler, steps, label, seed = queue.popleft()
            pool.add(plan_for(sampler, steps), seed=seed, labels=label)
        pool.step()
        calls += 1
    return calls


def waiting(network: Network, asked: list[Asked], capacity: int) -> int:
    """Sample them in batches, each of which waits for its slowest sample; return the calls."""
    return sum(
        joining(network, asked[start : start + capacity], capacity)
        for start in range(0, len(asked), capacity)
    )


def main() -> None:
    """Print what happened, and what joining is worth."""
    network = DigitsNetwork.load(DIGITS / "weights.npz")
    happened = asyncio.run(withstood(network, 2000))
    print("of 2000 requests: " + ", ".join(f"{count} {what}" for what, count in happened.items()))
    rng = np.random.default_rng(1)
    asked: list[Asked] = [
        ("ddim", int(rng.choice(STEPS)), int(rng.integers(10)), seed) for seed in range(400)
    ]
    kinds: dict[str, Network] = {
        "batches of any size": network,
        "always 16 samples": padded(network, 16),
    }
    for name, model in kinds.items():
        times: dict[str, list[float]] = {"waiting": [], "joining": []}
        calls = {}
        for _ in range(5):
            for way in (waiting, joining):
                start = time.process_time()
                calls[way.__name__] = way(model, asked, 16)
                times[way.__name__].append(time.process_time() - start)
        print(
            f"{name}: {min(times['waiting']) / min(times['joining']):.2f} times as many requests a "
            f"second as batches that wait, and {calls['waiting'] / calls['joining']:.2f} times "
            "as many a call"
        )


if __name__ == "__main__":
    main()
