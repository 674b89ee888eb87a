"""The server of the docs: nothing is lost, nothing is wrong, and who leaves costs nothing."""

import asyncio
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SERVER = Path(__file__).parents[1] / "docs" / "examples" / "server"


@pytest.fixture(scope="module")
def example() -> Iterator[Any]:
    """Return the modules `serve` and `load`, imported as `python load.py` does."""
    before, modules = sys.path.copy(), set(sys.modules)
    sys.path.insert(0, str(SERVER))
    spec = importlib.util.spec_from_file_location("load", SERVER / "load.py")
    assert spec is not None
    assert spec.loader is not None
    load = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(load)
    yield load
    sys.path[:] = before
    for name in {"serve", "network"} - modules:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def network(example: Any) -> Any:
    return example.DigitsNetwork.load(example.DIGITS / "weights.npz")


def test_nothing_is_lost_and_nothing_is_wrong(example: Any, network: Any) -> None:
    """With clients that leave, and batches that fail once or in every attempt."""
    happened = asyncio.run(example.withstood(network, 150, steps=(2, 3, 5), capacity=8))
    assert happened["answered"] + happened["left"] == 150
    assert happened["answered"] > 100
    assert happened["asked again"] > 0


def test_a_client_that_leaves_leaves_the_pool(example: Any) -> None:
    serve = sys.modules["serve"]

    async def check() -> None:
        pool = example.Pool(None, example.IMAGE_SHAPE, 2)
        calls = 0

        def network(x: Any, timesteps: Any, labels: Any) -> Any:
            nonlocal calls
            calls += 1
            return 0.1 * x

        pool.model = network
        server = serve.Server(pool)
        plan = serve.plan_for("ddim", 1000)
        serving = asyncio.create_task(server.serve())
        asked = [asyncio.create_task(server.sample(plan, seed=n, labels=n)) for n in range(3)]
        while not calls:
            await asyncio.sleep(0)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        x = await server.sample(serve.plan_for("ddim", 1), seed=3, labels=3)
        assert x.shape == example.IMAGE_SHAPE
        assert len(pool) == 0
        assert calls < 900
        serving.cancel()

    asyncio.run(check())


def test_joining_takes_fewer_calls(example: Any) -> None:
    def network(x: Any, timesteps: Any, labels: Any) -> Any:
        return 0.1 * x

    asked = [("ddim", steps, 1, 0) for steps in (5, 1, 1, 1, 5, 1, 5, 1)]
    assert example.waiting(network, asked, 2) == 5 + 1 + 5 + 5
    # In one place 5, 1 and 5 follow one another, and in the other 1, 1, 1, 5 and 1.
    assert example.joining(network, asked, 2) == 11


def test_lines_of_json(example: Any, network: Any) -> None:
    serve = sys.modules["serve"]
    pool = example.Pool(network, example.IMAGE_SHAPE, 4, like=example.LIKE, clip=(-1, 1))
    lines = [
        json.dumps({"steps": 3, "label": 7, "seed": 5}),
        json.dumps({"steps": 3, "label": 7, "seed": -5}),
        json.dumps({"steps": 3, "label": 12, "seed": 5}),
        json.dumps({"steps": 3, "label": 2.0, "seed": 5}),
        json.dumps({"steps": 3, "seed": 5}),
        json.dumps({"steps": 3, "sampler": "none", "label": 1, "seed": 5}),
        "no json",
        "",
        "[" * 2**17,
    ]

    async def check() -> list[dict[str, Any]]:
        server = serve.Server(pool)

        async def client(reader: Any, writer: Any) -> None:
            await serve.connected(server, reader, writer)

        serving = asyncio.create_task(server.serve())
        async with await asyncio.start_server(client, "localhost", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            _, leaves = await asyncio.open_connection("localhost", port)
            leaves.write(b'{"steps": 1000, "label": 7, "seed": 5}\n')
            leaves.close()
            answers = await asyncio.gather(
                *(asked(port, line, half) for half in (False, True) for line in lines)
            )
            while len(pool):  # it is gone when nobody takes what is written to it
                await asyncio.sleep(0.01)
        serving.cancel()
        return answers

    async def asked(port: int, line: str, half: bool) -> dict[str, Any]:
        """Return the answer to a client that goes on, or that has nothing more to write."""
        reader, writer = await asyncio.open_connection("localhost", port)
        writer.write(line.encode() + b"\n")
        if half:
            writer.write_eof()
        said: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        return said

    answers = asyncio.run(check())
    expected = example.alone(network, ("ddim", 3, 7, 5))
    words = ["seed", "label", "float", "label", "sampler", "JSON", "JSON", "64 KiB"]
    for image, *errors in (answers[: len(lines)], answers[len(lines) :]):
        np.testing.assert_allclose(np.array(image["image"]), expected, atol=1e-5)
        for error, word in zip(errors, words, strict=True):
            assert word in error["error"]
