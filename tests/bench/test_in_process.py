"""RISE with the model inside the service: against the plain forward pass, against itself shared, against its peers."""

import concurrent.futures
import contextlib
import io
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch
from build_models import network
from dianna.methods.rise_image import RISEImage
from live import MODEL, embedded, photo_file, service
from sidelight_client import Client, Rise
from smqtk_classifier.interfaces.classify_image import ClassifyImage
from xaitk_saliency.impls.gen_image_classifier_blackbox_sal.rise import RISEStack

from bench.handed import Handed
from bench.plain import ROWS, SIDE, forward
from bench.report import in_turn, report

ROUNDS = 5


def asking(client, masks=ROWS, seed=1):
    answer = client.explain(
        photo_file(),
        model=MODEL,
        method=Rise(masks=masks),
        seed=seed,
        deadline=600,
        target=282,
        outputs=["map"],
    )
    assert answer.best.rows_done == masks


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1.10), ("bfloat16", None)])
def test_rise_against_the_plain_forward_pass(precision, bound, tmp_path):
    config = embedded().replace("[models.embedded]", f'[models.embedded]\nprecision = "{precision}"')
    with service(tmp_path, config) as running, Client(running.grpc) as client:
        plain = forward(getattr(torch, precision)).of(ROWS)
        seconds, peer, ratio = in_turn(lambda: asking(client), plain, ROUNDS)
    report(
        f"rise_in_process_{precision}",
        ratio,
        bound,
        f"RISE with {ROWS} masks, client to answer, over the forward pass of {ROWS} ready-made rows",
        f"median of {ROUNDS} ratios, run in turn; EfficientNet-Lite0, {precision}, channels last, best batch size",
        milliseconds_a_row=1e3 * seconds / ROWS,
        plain_milliseconds_a_row=1e3 * peer / ROWS,
    )


def test_eight_requests_at_once_against_one_of_eight_times_the_masks(tmp_path):
    pool = concurrent.futures.ThreadPoolExecutor(8)
    with service(tmp_path, embedded()) as running, Client(running.grpc) as client, pool:

        def eight():
            list(pool.map(lambda seed: asking(client, 64, seed), range(8)))

        seconds, peer, ratio = in_turn(eight, lambda: asking(client, 512), ROUNDS)
    report(
        "eight_at_once",
        ratio,
        1.10,
        "eight requests of 64 masks at once over one of 512",
        f"median of {ROUNDS} ratios, run in turn; EfficientNet-Lite0, float32",
        seconds=seconds,
        one_request_seconds=peer,
    )


class Peers(Handed):
    """RISE of other packages."""

    def dianna(self) -> None:
        method = RISEImage(n_masks=ROWS, feature_res=7, p_keep=0.5, axis_labels={2: "channels"})
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
            maps = method.explain(self.scores, self.image, [282], batch_size=self.batch)
        assert maps.shape == (1, SIDE, SIDE)

    def xaitk(self) -> None:
        stack = RISEStack(n=ROWS, s=7, p1=0.5, seed=0, threads=2)
        stack.fill = [0, 0, 0]
        assert stack.generate(self.image, Classifier(self)).shape == (1000, SIDE, SIDE)


def batched(items: Iterable, size: int) -> Iterator[list]:
    """Lists of `size` items; the last may be shorter."""
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


class Classifier(ClassifyImage):
    """The network as xaitk-saliency wants it, in batches."""

    def __init__(self, peers: Peers) -> None:
        self.peers = peers

    def get_labels(self):
        return list(range(1000))

    def get_config(self):
        return {}

    def classify_images(self, images):
        for batch in batched(images, self.peers.batch):
            yield from (dict(enumerate(row)) for row in self.peers.scores(np.stack(batch)))


def test_rise_against_other_packages(tmp_path):
    """captum has no RISE; dianna and xaitk-saliency have.

    All are handed the network as it is loaded. That Sidelight then runs it channels last is its own doing; how much of
    the difference that is, tells the second pair of figures, where the others get it channels last as well.
    """
    plain = forward(torch.float32)
    loaded, tuned = Peers(network().eval(), 8), Peers(plain.net, plain.batch)
    figures = {}
    with service(tmp_path, embedded()) as running, Client(running.grpc) as client:
        for name in ("dianna", "xaitk"):
            for form, peers in (("", loaded), ("_channels_last", tuned)):
                figures[name + form] = round(in_turn(lambda: asking(client), getattr(peers, name), 2)[2], 3)
    report(
        "rise_against_peers",
        max(figures["dianna"], figures["xaitk"]),
        0.5,
        f"seconds of RISE with {ROWS} masks over those of the fastest other package on the same network, float32",
        "median of 2 ratios, run in turn; peers with batches of 8 as loaded, and with our layout and the best batch",
        **figures,
    )
