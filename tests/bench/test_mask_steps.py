"""Steps of mask optimisation: against the bare passes of as many rows, and eight texts at once against in turn."""

import functools
import multiprocessing
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import pytest
import torch
from build_models import network
from live import CARDS, MODEL, ROOT, TEXT_MODEL, embedded, photo_file, service
from sentiment_network import reading
from sidelight.predictors.folding import folded
from sidelight.process import keep_freed_memory
from sidelight_client import Client

from bench.report import ratio, report, turns

STEPS, ROUNDS, AT_ONCE = 150, 3, 8  # a sentence's mask settles after about so many steps, a paragraph's after 250
SHORT = 50  # steps of eight at once
IMAGE_STEPS, BASELINES, CLASS = 60, 3, 282  # a photo's has at least 250
SENTENCES = (
    "The plot is thin, but the acting is wonderful.",
    "A dull film that takes two hours to say nothing.",
    "What a gorgeous and moving picture this is!",
    "I expected more from such a good director.",
    "Funny at first, then only loud and long.",
    "The music alone is worth the whole ticket.",
    "Nobody in this story behaves like a person.",
    "It is not bad at all, just a little slow.",
)


def texts() -> str:
    """Configuration for the classifier of texts inside the service, with its twin."""
    factory = ROOT / "deploy" / "text" / "sentiment_network.py"
    return f'[[models]]\ncard = "{CARDS / TEXT_MODEL}.toml"\n[models.embedded]\nfactory = "{factory}:reading"\n'


def ask(client: Client, steps: int, *, photo: bytes | None = None, text: str | None = None, **more: object) -> object:
    parameters = {"steps": steps, "rule": "never"}
    answer = client.explain(
        photo,
        text=text,
        method="mask_optimisation",
        parameters=parameters,
        seed=1,
        deadline=600,
        outputs=["map"],
        **more,
    )
    assert len(answer.best.optimised.terms["kept"]) == steps
    return answer.best


class Bare:
    """The passes alone, in a process of its own, whose allocator keeps freed memory as the service's does."""

    def __init__(self, run: Callable[..., None], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._process = ProcessPoolExecutor(1, context, keep_freed_memory)
        self._work = partial(run, *arguments)

    def __call__(self) -> None:
        self._process.submit(self._work).result()

    def __enter__(self) -> "Bare":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.shutdown()


@functools.cache
def read() -> torch.nn.Module:
    return reading().requires_grad_(False)


def passes_of_texts(texts: Sequence[str], steps: int) -> None:
    """Forward and backward pass of two rows of each text's embeddings, all in one batch, so many times."""
    net = read()
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(net.ids(t)) for t in texts for _ in range(2)], batch_first=True)
    rows, there = net.encoder.get_input_embeddings()(ids), ids != net.pad
    for _ in range(steps):
        x = rows.detach().requires_grad_()
        torch.autograd.grad(net.from_embeddings(x, there).log_softmax(1)[:, 0].sum(), x)


@functools.cache
def seen() -> torch.nn.Module:
    """With its norms folded, as the twin has it."""
    fused = folded(network().requires_grad_(False), torch.randn(2, 3, 224, 224))
    return fused.module.to(memory_format=torch.channels_last)


def passes_of_images(rows: int, steps: int) -> None:
    """Forward and backward pass of so many images, so many times."""
    net = seen()
    made = torch.randn(rows, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    for _ in range(steps):
        x = made.detach().requires_grad_()
        torch.autograd.grad(net(x).log_softmax(1)[:, CLASS].sum(), x)


@pytest.mark.parametrize(("name", "sentences", "bound"), [("sentence", 1, None), ("paragraph", 5, 1.15)])
@pytest.mark.slow
def test_steps_of_one_text_over_its_bare_passes(name, sentences, bound, tmp_path):
    """A step of a mask takes milliseconds whatever the text, which shows where the passes of two rows are short."""
    text = " ".join(SENTENCES[:sentences])
    bare = Bare(passes_of_texts, [text], STEPS)
    with service(tmp_path, texts()) as running, Client(running.grpc) as client, bare:
        seconds = turns((partial(ask, client, STEPS, text=text, model=TEXT_MODEL, target=1), bare), ROUNDS)
    report(
        f"mask_steps_{name}", ratio(seconds, 0, 1), bound,
        f"mask optimisation of a {name}, {STEPS} steps, client to answer, over as many bare passes of its two rows",
        "the demo's MiniLM, float32, forward and backward; run in turn, median of ratios",
        tokens=len(read().ids(text)), milliseconds_a_step=1e3 * statistics.median(s[0] for s in seconds) / STEPS,
    )  # fmt: skip


@pytest.mark.slow
def test_eight_texts_at_once_against_one_after_another(tmp_path):
    """What there is to gain is what a row of a pass of 16 costs less than one of two: `ceiling`, of bare passes."""
    with (
        service(tmp_path, texts()) as running,
        Client(running.grpc) as client,
        ThreadPoolExecutor(AT_ONCE) as pool,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), keep_freed_memory) as bare,
    ):

        def one(text: str) -> None:
            ask(client, SHORT, text=text, model=TEXT_MODEL, target=1)

        def at_once() -> None:
            list(pool.map(one, SENTENCES))

        def in_turn() -> None:
            for text in SENTENCES:
                one(text)

        def bare_at_once() -> None:
            bare.submit(passes_of_texts, SENTENCES, SHORT).result()

        def bare_in_turn() -> None:
            for text in SENTENCES:
                bare.submit(passes_of_texts, [text], SHORT).result()

        seconds = turns((at_once, in_turn, bare_at_once, bare_in_turn), ROUNDS)
    report(
        "mask_steps_eight_at_once", ratio(seconds, 0, 1), 0.5,
        f"seconds of eight sentences at once, {SHORT} steps each, over those of one after another",
        "the demo's MiniLM, float32; run in turn, median of ratios",
        ceiling=round(ratio(seconds, 2, 3), 3),
        milliseconds_a_step=1e3 * statistics.median(s[0] for s in seconds) / SHORT / AT_ONCE,
        alone_milliseconds_a_step=1e3 * statistics.median(s[1] for s in seconds) / SHORT / AT_ONCE,
    )  # fmt: skip


@pytest.mark.slow
def test_steps_of_one_image_over_its_bare_passes(tmp_path):
    bare = Bare(passes_of_images, 2 * BASELINES, IMAGE_STEPS)
    with service(tmp_path, embedded()) as running, Client(running.grpc) as client, bare:
        ours = partial(ask, client, IMAGE_STEPS, photo=photo_file(), model=MODEL, target=CLASS)
        seconds = turns((ours, bare), ROUNDS)
    report(
        "mask_steps_image", ratio(seconds, 0, 1), 1.15,
        f"mask optimisation of a photo, {IMAGE_STEPS} steps, client to answer, over as many bare passes of its rows",
        f"EfficientNet-Lite0, float32, channels last, {2 * BASELINES} rows; run in turn, median of ratios",
        milliseconds_a_step=1e3 * statistics.median(s[0] for s in seconds) / IMAGE_STEPS,
    )  # fmt: skip
