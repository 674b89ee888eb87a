"""The server of `serve.py` over HTTP, with Starlette.

    pip install ".[serve]"
    uvicorn --app-dir docs/examples/server web:app &
    curl localhost:8000/sample --data '{"steps": 20, "label": 3, "seed": 7}'

Whoever closes the connection before the answer leaves the pool.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serve import Server, answer, digits
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

server = Server(digits())


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[None]:
    """Serve while the application runs."""
    task = asyncio.create_task(server.serve())
    yield
    task.cancel()


async def sample(request: Request) -> Response:
    """Answer a request; one whose client goes away leaves the pool."""
    asked = asyncio.create_task(answer(server, await request.body()))
    while not asked.done():
        await asyncio.wait([asked], timeout=0.1)
        if not asked.done() and await request.is_disconnected():
            asked.cancel()
            return Response(status_code=499)
    said = asked.result()
    return JSONResponse(said, status_code=400 if "error" in said else 200)


app = Starlette(routes=[Route("/sample", sample, methods=["POST"])], lifespan=serving)
