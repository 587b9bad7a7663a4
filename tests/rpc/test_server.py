"""What a caller needs before it knows the protocol: reflection, and TLS where it is configured."""

import asyncio
import shutil
import subprocess

import grpc
import pytest
from doubles import LinearPredictor
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from in_process import READY, request, running
from sidelight_proto.v1 import explanation_pb2_grpc


async def test_reflection_describes_the_service_to_a_caller_without_its_protos():
    async with running(LinearPredictor()) as up:

        def ask() -> tuple[list[str], list[str]]:
            with grpc.insecure_channel(up.addresses["grpc"]) as channel:
                database = ProtoReflectionDescriptorDatabase(channel)
                file = database.FindFileContainingSymbol(READY)
                return list(database.get_services()), [m.name for m in file.service[0].method]

        services, methods = await asyncio.to_thread(ask)
        assert {READY, "grpc.health.v1.Health"} <= set(services)
        assert methods == ["Explain", "ExplainStream", "EstimateCost", "GetCatalogue"]


@pytest.fixture
def certified(tmp_path):
    """A certificate for 127.0.0.1 and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return certificate, key


async def test_with_a_certificate_and_a_key_the_service_speaks_tls(certified):
    certificate, key = certified
    async with running(LinearPredictor(), certificate=certificate, key=key) as up:
        trusted = grpc.ssl_channel_credentials(certificate.read_bytes())
        async with grpc.aio.secure_channel(up.addresses["grpc"], trusted) as channel:
            stub = explanation_pb2_grpc.ExplanationServiceStub(channel)
            assert (await stub.Explain(request())).results
        with pytest.raises(grpc.aio.AioRpcError):
            await up.stub.Explain(request(), timeout=2)  # in the clear
