"""How clients connect: credentials, tokens, limits."""

import grpc
import pytest
from client.canned_service import answer, result
from sidelight_client import AsyncClient, Client
from sidelight_client.calls import _loopback


def test_the_token_is_sent_as_a_bearer_token_with_every_call(address, service):
    with Client(address, token="s3cret") as client:
        client.catalogue()
        assert service.metadata["authorization"] == "Bearer s3cret"
        client.explain(b"photo", model="tiny")
        assert service.metadata["authorization"] == "Bearer s3cret"


def test_without_a_token_none_is_sent(address, service):
    with Client(address) as client:
        client.catalogue()
    assert "authorization" not in service.metadata


def test_an_answer_larger_than_grpcs_own_limit_arrives(ask, service):
    def follow(request, context):
        large = result()
        large.overlay_png = bytes(5 << 20)  # gRPC's own limit is 4 MiB
        yield answer(request.explanation, large)

    service.script = follow
    assert len(ask("explain", b"photo", model="tiny").best.message.overlay_png) == 5 << 20


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_tls_takes_a_pem_file_or_grpcs_credentials(kind, tmp_path):
    pem = tmp_path / "ca.pem"
    pem.write_bytes(b"-----BEGIN CERTIFICATE-----")
    for tls in (True, pem, str(pem), grpc.ssl_channel_credentials()):
        assert isinstance(kind("localhost:1", tls=tls)._credentials, grpc.ChannelCredentials)
    with pytest.raises(FileNotFoundError):
        kind("localhost:1", tls=tmp_path / "none.pem")


@pytest.mark.parametrize(
    ("address", "local"),
    [("localhost:1", True), ("127.0.0.1:1", True), ("[::1]:1", True), ("10.0.0.1:1", False), ("host:1", False)],
)
def test_loopback_addresses_pass_by_the_environments_proxy(address, local):
    assert _loopback(address) is local
