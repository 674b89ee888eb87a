"""A server of digits: requests of 5, 20 or 50 steps share the calls of one network.

    python docs/examples/server/serve.py &
    echo '{"steps": 20, "label": 3, "seed": 7}' | nc localhost 8000

A connection is one request, a line of JSON, and its answer is another. NumPy is all it needs.
"""

from __future__ import annotations

import asyncio
import json
import operator
import sys
from collections import deque
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedalg import DDIM, DDPM, Plan, Pool, Schedule

DIGITS = Path(__file__).parents[1] / "digits"
SAMPLERS: dict[str, DDIM | DDPM] = {"ddim": DDIM(), "ddpm": DDPM()}
IMAGE_SHAPE = (1, 8, 8)
PORT = 8000
#: How many seconds a client that asked wrongly has to read why.
LINGER = 1.0

FloatArray = NDArray[np.float32]


class _Request(NamedTuple):
    plan: Plan
    arguments: dict[str, Any]
    answer: asyncio.Future[FloatArray]


class Server:
    """Takes requests at any time, and samples them in one pool.

    The pool belongs to the task that runs `serve`: nothing else touches it. It calls the network in
    a thread, so that requests are taken in the meantime.

    Args:
        pool: A pool that nothing is in.
        attempts: How often a step is tried before the samples in it are given up.
    """

    def __init__(self, pool: Pool, attempts: int = 2) -> None:
        self.pool = pool
        self.attempts = attempts
        self._waiting: deque[_Request] = deque()
        self._answers: dict[int, asyncio.Future[FloatArray]] = {}
        self._asked = asyncio.Event()

    async def sample(self, plan: Plan, **arguments: Any) -> FloatArray:
        """Return a sample when it is finished; arguments are those of `Pool.add`.

        If the caller is cancelled, the sample leaves the pool.

        Raises:
            ValueError: The arguments are wrong.
            Exception: What the network raised in each attempt.
        """
        answer: asyncio.Future[FloatArray] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Request(plan, arguments, answer))
        self._asked.set()
        return await answer

    async def serve(self) -> None:
        """Answer requests, until the task is cancelled."""
        while True:
            self._let_go()
            self._admit()
            if not len(self.pool):
                self._asked.clear()
                await self._asked.wait()
                continue
            for ticket, x in (await self._step()).items():
                answer = self._answers.pop(ticket)
                if not answer.done():
                    answer.set_result(x)

    def _let_go(self) -> None:
        """Cancel the samples that nobody waits for."""
        for ticket, answer in list(self._answers.items()):
            if answer.done():
                self.pool.cancel(ticket)
                del self._answers[ticket]

    def _admit(self) -> None:
        """Add requests while there is room."""
        while self._waiting and len(self.pool) < self.pool.capacity:
            plan, arguments, answer = self._waiting.popleft()
            if answer.done():
                continue
            try:
                self._answers[self.pool.add(plan, **arguments)] = answer
            except (TypeError, ValueError) as error:
                answer.set_exception(error)

    async def _step(self) -> dict[int, FloatArray]:
        """Return what a step finishes; if the network raises in every attempt, nothing."""
        for attempt in range(self.attempts):
            try:
                return await asyncio.to_thread(self.pool.step)
            except Exception as error:  # the network's: the pool is as it was
                if attempt == self.attempts - 1:
                    for ticket, answer in self._answers.items():
                        self.pool.cancel(ticket)
                        if not answer.done():
                            answer.set_exception(error)
                    self._answers.clear()
        return {}


@lru_cache
def plan_for(sampler: str, steps: int) -> Plan:
    """Return the plan of a request."""
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {sorted(SAMPLERS)}, got {sampler!r}")
    return SAMPLERS[sampler].plan(Schedule.linear(1000).subsample(steps=steps))


async def answer(server: Server, line: bytes) -> dict[str, Any]:
    """Return the answer to a request: an image, or what is wrong."""
    try:
        request = json.loads(line)
        plan = plan_for(request.get("sampler", "ddim"), request["steps"])
        label = int(operator.index(request["label"]))
        if label not in range(10):
            raise ValueError(f"label must be from 0 to 9, got {label}")
        image = await server.sample(plan, seed=request["seed"], labels=label)
    except Exception as error:  # of whatever kind, it is this request's alone
        return {"error": f"{type(error).__name__}: {error}"}
    return {"image": image.tolist()}


async def connected(
    server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer one connection. A client that closes it before the answer is gone."""
    try:
        line = await reader.readline()
    except ValueError:  # beyond what the reader holds
        await _write(writer, {"error": "ValueError: a request is a line of at most 64 KiB"})
        await asyncio.wait([asyncio.create_task(_read(reader))], timeout=LINGER)
        writer.close()
        return
    asked = asyncio.create_task(answer(server, line))
    gone = asyncio.create_task(_closed(reader, writer))
    await asyncio.wait([asked, gone], return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if asked.done():
        await _write(writer, asked.result())
    else:
        asked.cancel()
    writer.close()


async def _write(writer: asyncio.StreamWriter, said: dict[str, Any]) -> None:
    """Write an answer, if there is still somebody to read it."""
    try:
        writer.write(json.dumps(said).encode() + b"\n")
        await writer.drain()
    except ConnectionError:
        pass


async def _read(reader: asyncio.StreamReader) -> None:
    """Read until the other side writes no more. What is left unread would take the answer along."""
    try:
        while await reader.read(2**16):
            pass
    except ConnectionError:
        pass


async def _closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait until the other side closes.

    One that only writes no more, and waits for its answer, looks the same until it is written to:
    spaces, which JSON allows before a value.
    """
    await _read(reader)
    try:
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.1)
    except ConnectionError:
        pass


def digits() -> Pool:
    """Return a pool of digits."""
    sys.path.insert(0, str(DIGITS))
    from network import DigitsNetwork

    network = DigitsNetwork.load(DIGITS / "weights.npz")
    like = np.empty(0, dtype=np.float32)
    return Pool(network, IMAGE_SHAPE, capacity=32, like=like, clip=(-1, 1))


async def main() -> None:
    """Serve the digits network."""
    server = Server(digits())

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await connected(server, reader, writer)

    async with await asyncio.start_server(client, "localhost", PORT):
        print(f"serving digits on port {PORT}", flush=True)
        await server.serve()


if __name__ == "__main__":
    asyncio.run(main())
