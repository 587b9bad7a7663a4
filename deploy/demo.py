"""Explain a photo, a sentence and a drawn lesion through Sidelight and a real Triton, then stop everything again.

    python deploy/demo.py                 # the answers, the pictures of them in build/demo (`make demo`)
    python deploy/demo.py --embedded      # the same models inside the service, without Triton
    python deploy/demo.py --serve         # the same set-up, up until Ctrl-C (`make serve`)

Servers listen on loopback. Whatever ends this process, Ctrl-C and SIGKILL included, ends them too: each is the child of
a supervisor that watches a pipe (see triton/supervisor.py).
"""

import argparse
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from PIL import Image
from rich.console import Console
from sidelight_client import (
    Client,
    Compare,
    Explanation,
    Interventional,
    KernelShap,
    MaskOptimisation,
    Rise,
    SidelightError,
    gradual,
)
from sidelight_client.cli.explain import show
from sidelight_client.cli.progress import ProgressLine
from skimage import data

DEPLOY = Path(__file__).resolve().parent
TRITON = DEPLOY / "triton"
BUILD = DEPLOY.parent / "build"
EDITOR = DEPLOY / "editor"
sys.path[:0] = [str(TRITON), str(EDITOR)]
from installation import TritonUnavailable  # noqa: E402
from lesions import Lesion, draw  # noqa: E402
from server import TritonFailed, TritonServer  # noqa: E402

MODEL = "efficientnet_lite0"
TEXT_MODEL = "sentiment"
LESION_MODEL = "lesion"
MODELS = (MODEL, TEXT_MODEL, LESION_MODEL)
TWINS = {  # where the networks come from that gradients are taken of
    MODEL: "build_models:network",
    TEXT_MODEL: f"{DEPLOY}/text/sentiment_network.py:reading",
    "sentiment_tokens": f"{DEPLOY}/text/sentiment_network.py:reading",
    LESION_MODEL: f"{DEPLOY}/lesion/lesion_network.py:lesion",
}
LAYER = "_blocks.10"  # a middle one, at which gradients are taken
SENTENCE = "The plot is thin and the jokes are stale, but the music is wonderful and the actors are a joy to watch."
LESION = Lesion(size=0.4, irregularity=0.8, hue=0.3, darkness=0.7, seed=1)  # nothing was trained on it
PROPERTIES = {"patch": "add a blue patch on the left", "ruler": "add a ruler"}  # and how the editor is told to add them
GUIDANCE: dict[str, Any] = {"first": 0.0, "last": 3.0, "count": 16}  # what this small editor learnt; large: to 12
START_SECONDS = 180  # reading torch from a cold disk is slow
METRICS = (  # patterns of the five lines shown
    "sidelight_explanations_total.*rise",
    "sidelight_explanation_seconds_sum.*rise",
    "sidelight_model_evaluations_total.*rise",
    "sidelight_batch_rows_count",
    "grpc_server_handled_total.*ExplainStream",
)
console = Console(highlight=False, markup=False, soft_wrap=True)


class ServiceFailed(RuntimeError):
    """The service did not come up, or ended; the message ends with the tail of its log."""


class Service:
    """Sidelight as a child process: a context manager that has all models ready inside the block, and is gone after it.

    arguments: its command line, but for the ports, which it chooses itself. `grpc` and `metrics` are its addresses.
    """

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self._command = [sys.executable, "-m", "sidelight", *arguments, "--port", "0", "--metrics-port", "0"]
        self._log = log
        self.grpc = self.metrics = ""

    def __enter__(self) -> "Service":
        # The region prefix is that of no region: the service removes its own.
        supervisor = [sys.executable, "-I", str(TRITON / "supervisor.py"), "10", f"sidelight_demo_{os.getpid()}_", "--"]
        path = os.pathsep.join(filter(None, [str(TRITON), os.environ.get("PYTHONPATH")]))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                supervisor + self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | {"PYTHONPATH": path},
                start_new_session=True,  # a Ctrl-C in the terminal reaches this process alone, which then stops it
            )
        try:
            self._wait_ready()
        except BaseException:  # KeyboardInterrupt too: __exit__ is not called for a failed __enter__
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes the pipe, the supervisor's sign to stop; returns when nothing is left

    def check(self) -> None:
        """Raises ServiceFailed if it has ended."""
        if self._process.poll() is not None:
            raise self._failed("ended")

    def _wait_ready(self) -> None:
        ends = time.monotonic() + START_SECONDS
        assert self._process.stdout is not None  # a pipe
        line = self._process.stdout.readline()
        if not line.startswith(b"{"):
            raise self._failed("ended before it listened")
        addresses = json.loads(line)
        self.grpc, self.metrics = addresses["grpc"], addresses["metrics"]
        with Client(self.grpc) as client:
            while waiting := self._waiting(client):
                self.check()
                if time.monotonic() > ends:
                    raise self._failed(f"was not ready within {START_SECONDS} s: {waiting}")
                time.sleep(0.1)

    @staticmethod
    def _waiting(client: Client) -> str:
        """What it still waits for; empty when every model is ready."""
        try:
            client.health(wait=True, deadline=1)
            return "; ".join(f"{m.name}: {m.reason}" for m in client.catalogue().models if not m.ready)
        except SidelightError as error:
            return str(error)

    def _failed(self, what: str) -> ServiceFailed:
        tail = self._log.read_text(errors="replace")[-4000:]
        return ServiceFailed(f"Sidelight {what}; end of {self._log}:\n{tail}")


def embedded() -> list[str]:
    """The service's arguments for the models inside it."""
    return ["--config", str(DEPLOY / "embedded.toml")]


def served(name: str, address: str) -> str:
    """Configuration for a model on the Triton at `address`, with its twin."""
    card = TRITON / "cards" / f"{name}.toml"
    return f'[[models]]\ncard = "{card}"\ntriton = "{address}"\n[models.twin]\nfactory = "{TWINS[name]}"\n'


def on_triton(running: contextlib.ExitStack, out: Path) -> list[str]:
    """Start Triton; the service's arguments for the models there. Raises TritonUnavailable where none can be had."""
    began = time.monotonic()
    triton = TritonServer([BUILD / "models"], log=out / "triton.log")
    console.print("Starting Triton ...")
    running.enter_context(triton)
    console.print(f"Triton is ready on {triton.grpc} after {time.monotonic() - began:.1f} s")
    config = out / "sidelight.toml"
    editor = f'[[editors]]\nkind = "instruct_pix2pix"\nmodel = "{EDITOR}/pix2pix"\n'
    config.write_text("".join(served(name, triton.grpc) for name in MODELS) + editor)
    return ["--config", str(config)]


def save_photo(out: Path) -> Path:
    """A photo of a cat that comes with scikit-image (by Stéfan van der Walt, CC0), as a file."""
    path = out / "chelsea.png"
    Image.fromarray(data.chelsea()).save(path)
    return path


def save_lesion(out: Path) -> Path:
    """A drawn lesion that is atypical, without sticker and ruler, as a file."""
    path = out / "lesion.png"
    Image.fromarray(draw(LESION)).save(path)
    return path


def explain(address: str, **question: Any) -> Explanation:
    """Ask the service, showing progress."""
    asked = {"link": "probability", "seed": 1, "deadline": 3600, **question}
    with Client(address) as client, ProgressLine(console) as line:
        return client.explain(**asked, on_progress=line)


def side_by_side(photo: Path, overlay: Path) -> Path:
    """The photo beside itself with the overlay, paler where the model did not look, as a picture to show."""
    left, map_over = Image.open(photo).convert("RGB"), Image.open(overlay).convert("RGBA")
    right = Image.blend(left, Image.new("RGB", left.size, "white"), 0.6)
    right.paste(map_over, mask=map_over)
    both = Image.new("RGB", (2 * left.width + 12, left.height), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width + 12, 0))
    path = overlay.with_name("side_by_side.jpg")
    both.save(path, quality=88)
    return path


def smaller(curve: Path) -> Path:
    """The curve as a picture to show, at five eighths of its size."""
    drawn = Image.open(curve)
    path = curve.with_suffix(".jpg")
    drawn.resize((drawn.width * 5 // 8, drawn.height * 5 // 8), Image.Resampling.LANCZOS).save(path, quality=85)
    return path


def metric_lines(url: str) -> list[str]:
    """The first line of each of METRICS."""
    with urllib.request.urlopen(url, timeout=10) as response:
        lines = response.read().decode().splitlines()
    return [next((line for line in lines if re.match(pattern, line)), f"# no {pattern}") for pattern in METRICS]


def run(args: argparse.Namespace, running: contextlib.ExitStack) -> None:
    """The demo. What it starts is put on `running`."""
    photo, lesion = save_photo(args.out), save_lesion(args.out)
    try:
        arguments = embedded() if args.embedded else on_triton(running, args.out)
    except TritonUnavailable as error:
        console.print(f"No Triton here: {error}.\nThe service holds the same models itself instead.")
        arguments = embedded()
    console.print("Starting Sidelight ...")
    began = time.monotonic()
    service = running.enter_context(Service(arguments, args.out / "sidelight.log"))
    console.print(f"Sidelight is ready on {service.grpc} after {time.monotonic() - began:.1f} s")
    if args.serve:
        stay(service, photo, lesion)
    console.print(f"\nWhat makes {shown(photo)} what the model says it is? {args.masks} masked copies will tell.")
    answer = explain(service.grpc, input=photo, model=MODEL, method=Rise(masks=args.masks))
    console.print()
    show(answer, [])
    written = [*answer.save(args.out), side_by_side(photo, args.out / "overlay.png")]
    console.print(f"\nAnd its gradients? What each attribution at {LAYER} leaves out of what there is to attribute:\n")
    answer = explain(service.grpc, input=photo, model=MODEL, method=Compare(layers=[LAYER]), link="logit")
    console.print(answer.table())
    copies = max(2, args.masks // 2)  # fewer, since there are fewer words than cells in a picture
    console.print(f"And which words make a sentence what the model says it is? {copies} copies that lack some tell.")
    answer = explain(service.grpc, text=SENTENCE, model=TEXT_MODEL, method=KernelShap(samples=copies))
    console.print()
    show(answer, [])
    written += answer.save(args.out / "sentence")
    console.print("\nAnd which suffice by themselves, and leave nothing when they are gone? Gradients find a mask.")
    method = MaskOptimisation(settled=0.05)  # coarser than the default, and sooner there
    answer = explain(service.grpc, text=SENTENCE, model=TEXT_MODEL, method=method)
    console.print()
    show(answer, [])
    written += answer.save(args.out / "rationale")
    console.print(f"\nAnd were there a patch in {shown(lesion)}, or a ruler? A diffusion model adds it gradually.\n")
    properties = [gradual("instruct_pix2pix", prompt=text, name=name, **GUIDANCE) for name, text in PROPERTIES.items()]
    answer = explain(service.grpc, input=lesion, model=LESION_MODEL, method=Interventional(properties=properties))
    console.print(answer.table())
    console.print("S is how far its answer moves a step, and * that it moves in order, however little.")
    console.print("The model was trained to see the patch: deploy/lesion/README.md tells how.")
    answer.save(folder := args.out / "intervention")
    written += [folder / "curve.png", folder / "curve-2.png", folder / "answer.html", smaller(folder / "curve.png")]
    console.print("\nWritten:")
    for path in written:
        console.print(f"  {shown(path)}")
    console.print(f"\nFive lines of {service.metrics}:")
    for line in metric_lines(service.metrics):
        console.print(f"  {line}")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done but the stopping, which is not to be interrupted


def stay(service: Service, photo: Path, lesion: Path) -> None:
    """Until interrupted. Raises ServiceFailed if the service ends by itself."""
    command = [shown(Path(sys.executable).with_name("sidelight")), "explain", "--address", service.grpc]
    one = shlex.join([*command, shown(photo), "--model", MODEL, "--out", shown(photo.with_name("answer"))])
    other = shlex.join([*command, "--text", SENTENCE, "--model", TEXT_MODEL])
    settings = ",".join(f"{key}={value:g}" for key, value in GUIDANCE.items())
    patch = f"instruct_pix2pix:prompt={PROPERTIES['patch']},name=patch,{settings}"
    third = shlex.join([*command, shown(lesion), "--model", LESION_MODEL, "--property", patch, "--link", "probability"])
    console.print(f"\nmetrics  {service.metrics}\ntry      {one}\n         {other}\n         {third}\nstop     Ctrl-C")
    while True:
        service.check()
        time.sleep(0.5)


def shown(path: Path) -> str:
    """As seen from the current folder, where it is in there."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def interrupt(*_: int | FrameType | None) -> None:
    """Raise KeyboardInterrupt, once: the stopping that follows is not to be interrupted in its turn."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description="Explain a photo, a sentence and a drawn lesion on this machine.")
    parser.add_argument("--embedded", action="store_true", help="the models inside the service, without Triton")
    parser.add_argument("--serve", action="store_true", help="stay up until Ctrl-C")
    parser.add_argument("--masks", type=int, default=2000, help="masked copies of the photo (%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=BUILD / "demo", help="folder for inputs, answers and logs (%(default)s)"
    )
    args = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.ExitStack() as running:
            run(args, running)
        console.print("Everything is stopped.")
        return 0
    except KeyboardInterrupt:
        console.print("Everything is stopped.")
        return 0 if args.serve else 130
    except (ServiceFailed, TritonFailed, SidelightError) as error:
        console.print(f"failed: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
