"""A real Triton on the test models, started once for a session. Import the fixtures that a test folder needs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from server import VENV, TritonServer, TritonUnavailable
from triton_models import repository

OPTIONS = ("--model-control-mode=explicit", "--load-model=*")  # so that tests can change what is served


def triton_server(folder: Path, models: dict[str, repository.TestModel]) -> TritonServer:
    """A Triton on `models` that is not started; skips the test where there is no Triton."""
    written = repository.write(folder / "repository", models)
    try:
        return TritonServer([written], VENV, log=folder / "triton.log", options=OPTIONS, grace=2.0)
    except TritonUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """Triton serving all of `triton_models.repository.MODELS`."""
    with triton_server(tmp_path_factory.mktemp("triton"), repository.MODELS) as server:
        yield server


def regions() -> set[str]:
    """This process's shared-memory regions that are there."""
    return {name for name in os.listdir("/dev/shm") if name.startswith(f"sidelight-{os.getpid()}-")}
