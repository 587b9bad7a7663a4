"""Odd and wrong inputs through the real server: explained, or refused by field; the service is up afterwards."""

import asyncio
import struct
import zlib

import grpc
import numpy as np
import pytest
from doubles import LinearPredictor
from google.rpc import error_details_pb2 as google
from in_process import array, details, encoded, pixels, request, running
from PIL import Image
from sidelight_proto.v1 import types_pb2
from sidelight_proto.v1.explanation_pb2 import ExplainRequest, Rise

PHOTO = pixels(20, 30)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 8
    return encoded(Image.fromarray(PHOTO), exif=exif)


def translucent() -> bytes:
    return encoded(np.dstack([PHOTO, np.full(PHOTO.shape[:2], 100, np.uint8)]))


ODD = {
    "1 x 1": encoded(pixels(1, 1)),
    "1 x 500": encoded(pixels(1, 500)),
    "500 x 1": encoded(pixels(500, 1)),
    "alpha": translucent(),
    "palette": encoded(Image.fromarray(PHOTO).quantize(8)),
    "bilevel": encoded(Image.fromarray(PHOTO[:, :, 0] > 127)),
    "grey": encoded(PHOTO[:, :, 0]),
    "16 bit": encoded(Image.fromarray(PHOTO[:, :, 0].astype(np.uint16) * 257)),
    "CMYK": encoded(Image.fromarray(PHOTO).convert("CMYK"), "JPEG"),
    "turned by EXIF": turned(),
    "WebP": encoded(PHOTO, "WEBP"),
}


async def test_odd_images_are_explained_at_their_own_size():
    async with running(LinearPredictor()) as up:
        for name, image in ODD.items():
            wanted = types_pb2.Outputs(map_at_input=True, overlay=True)
            answer = await up.stub.Explain(request(input=types_pb2.Input(image=image), outputs=wanted))
            (at_input,) = [
                array(m.tensor) for m in answer.results[0].maps if m.resolution == types_pb2.RESOLUTION_INPUT
            ]
            assert at_input.shape == tuple(answer.input_size), name
            assert np.isfinite(at_input).any(), name
            assert answer.results[0].overlay_png, name
        turned_size = (await up.stub.Explain(request(input=types_pb2.Input(image=turned())))).input_size
        assert list(turned_size) == [30, 20]


def huge_png(width: int, height: int) -> bytes:
    """A small file that claims to be huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows = zlib.compress(bytes(1_000_000), 9)  # a thousandth of that
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def raw(array: np.ndarray, datatype: str) -> types_pb2.Input:
    tensor = types_pb2.Tensor(datatype=datatype, shape=array.shape, contents=array.tobytes())
    return types_pb2.Input(tensor=tensor)


def image(data: bytes) -> ExplainRequest:
    return request(input=types_pb2.Input(image=data))


def classes(**ref) -> ExplainRequest:
    return request(target=types_pb2.Target(classes=[types_pb2.ClassRef(**ref)]))


WRONG = {
    "input.image": [
        image(b"no image"),
        image(b""),
        image(encoded(PHOTO, "JPEG")[:-300]),
        image(huge_png(20_000, 20_000)),
        image(huge_png(100_000, 100_000)),
    ],
    "input.tensor.shape": [request(input=raw(pixels(9, 9), "UINT8")), request(input=raw(PHOTO[0], "UINT8"))],
    "input.tensor.datatype": [request(input=raw(PHOTO, "FP16"))],
    "input.tensor.contents": [request(input=raw(np.full((8, 8, 3), np.inf, np.float32), "FP32"))],
    "input.text": [request(input=types_pb2.Input(text="not an image"))],
    "rise.masks": [request(rise=Rise(masks=0))],
    "rise.keep": [request(rise=Rise(keep=-0.1))],
    "target.classes[0].label": [classes(label="unicorn")],
    "target.classes": [classes(index=1000)],
}


async def test_wrong_input_is_refused_by_field_and_the_next_request_is_served():
    async with running(LinearPredictor()) as up:
        for field, wrong in WRONG.items():
            for asked in wrong:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await up.stub.Explain(asked, timeout=20)
                assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, refused.value
                (bad,) = details(refused.value, google.BadRequest)
                assert [v.field for v in bad.field_violations] == [field]
        assert (await up.stub.Explain(request())).results


async def test_wrong_requests_at_once_do_not_disturb_a_right_one():
    async with running(LinearPredictor()) as up:
        alone = await up.stub.Explain(request())
        wrong = [up.stub.Explain(asked) for field in WRONG.values() for asked in field]
        right, *_ = await asyncio.gather(up.stub.Explain(request()), *wrong, return_exceptions=True)
        assert [m.tensor for m in right.results[0].maps] == [m.tensor for m in alone.results[0].maps]
