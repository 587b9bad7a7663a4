"""One Triton and one service for the tests that leave them as they were."""

from types import SimpleNamespace

import live
import pytest
from sidelight_client import Client


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    """A real Triton, the service before it with the photo's network embedded beside it too, and a client."""
    folder = tmp_path_factory.mktemp("real")
    with live.triton(folder) as triton:
        texts = (live.on_triton(triton.grpc, live.twin(name), name) for name in (live.TEXT_MODEL, live.TOKEN_MODEL))
        config = live.on_triton(triton.grpc, live.twin()) + "".join(texts) + live.embedded(name="twin")
        with live.service(folder, config) as service, Client(service.grpc) as client:
            yield SimpleNamespace(triton=triton, service=service, client=client, folder=folder)


@pytest.fixture(scope="module")
def inside(tmp_path_factory):
    """The text classifier inside the service, as strings and as token ids: no Triton."""
    config = "".join(
        f'[[models]]\ncard = "{live.CARDS / name}.toml"\n[models.embedded]\nfactory = "{live.demo.TWINS[name]}"\n'
        for name in (live.TEXT_MODEL, live.TOKEN_MODEL)
    )
    with live.service(tmp_path_factory.mktemp("inside"), config) as service, Client(service.grpc) as client:
        yield SimpleNamespace(service=service, client=client)


@pytest.fixture(params=["inside", "real"])
def at(request):
    """Either of both."""
    return request.getfixturevalue(request.param)
