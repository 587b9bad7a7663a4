"""A canned service, and both clients behind one verb, so that every property is pinned for both."""

import asyncio
import inspect
from collections.abc import Callable

import pytest
from client.canned_service import CannedService, serve
from PIL import Image
from sidelight_client import AsyncClient, Client
from sidelight_client.cli import main


@pytest.fixture
def service():
    return CannedService()


@pytest.fixture
def photo(tmp_path) -> str:
    path = tmp_path / "photo.png"
    Image.new("RGB", (8, 6), "white").save(path)
    return str(path)


@pytest.fixture
def run(address, capsys):
    """Runs the command in this process: (exit code, standard output, standard error)."""

    def command(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--address", address])
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def address(service):
    server, address = serve(service)
    yield address
    server.stop(None).wait()


def blocking(address: str, call: str, *args, **kwargs):
    with Client(address) as client:
        answer = getattr(client, call)(*args, **kwargs)
        return list(answer) if inspect.isgenerator(answer) else answer


def awaiting(address: str, call: str, *args, **kwargs):
    async def run():
        async with AsyncClient(address) as client:
            answer = getattr(client, call)(*args, **kwargs)
            return [event async for event in answer] if inspect.isasyncgen(answer) else await answer

    return asyncio.run(run())


@pytest.fixture(params=[blocking, awaiting])
def ask(request, address) -> Callable:
    """`ask("explain", ...)` through the synchronous and through the asyncio client."""
    return lambda call, *args, **kwargs: request.param(address, call, *args, **kwargs)
