"""Explain one prediction.

The summary names the predicted and the explained class; --out keeps the pictures and the numbers.
"""

import argparse
from pathlib import Path

from rich.table import Table
from rich.text import Text

from sidelight_client import baselines, summary, tables
from sidelight_client.calls import EXPLAIN_DEADLINE
from sidelight_client.cli.progress import ProgressLine
from sidelight_client.cli.question import add_question, input_of, question_of
from sidelight_client.cli.terminal import add_connection, connect, print_json, printable, stderr, stdout
from sidelight_client.results import Explanation, Result

EXAMPLES = """\
examples:
  sidelight explain cat.jpg --model efficientnet_lite0 --out cat/
  sidelight explain cat.jpg --model efficientnet_lite0 --target tabby --contrast 'tiger cat' --link logit
  sidelight explain cat.jpg --model efficientnet_lite0@1 --set masks=8000 --set keep=0.3 --baseline blur --seed 7
  sidelight explain cat.jpg --model efficientnet_lite0 --tolerance 0.05 --deadline 20 --allow-partial
  sidelight explain cat.jpg --model efficientnet_lite0 --method lime --set samples=500 --metric srg --segments
  sidelight explain --text "not my cup of tea" --model sentiment --method kernel_shap
  sidelight explain cat.jpg --model efficientnet_lite0 --method compare --set layers=_blocks.10 --link logit
  sidelight explain cat.jpg --model efficientnet_lite0 --method integrated_gradients --baseline black --tolerance 0.01
  sidelight explain cat.jpg --model efficientnet_lite0 --method mask_optimisation --set steps=400 --set cell=4
  sidelight explain --text "not my cup of tea" --model sentiment --method mask_optimisation --set span_share=0.3
  sidelight explain cat.jpg --model efficientnet_lite0 --json | jq '.results[0].top_classes[0]'

what if a property changed, gradually (method interventional):
  sidelight explain cat.jpg --model efficientnet_lite0 --property rotation:first=-30,last=30,count=41 --out cat/
  sidelight explain cat.jpg --model efficientnet_lite0 --property brightness --property blur:last=5 --property hue
  sidelight explain skin.jpg --model lesions --property overlay:image=patch.png,mask=mask.png,name=patch,count=50
  sidelight explain cat.jpg --model a --model b --property 'instruct_pix2pix:prompt=make the fur white, keep the rest'
  sidelight explain cat.jpg --model efficientnet_lite0 --property hue --set adaptive=true --set permutations=20000
  sidelight explain --series turntable/ --strengths=-90..90 --unit degree --model efficientnet_lite0 --out turn/

--out DIR holds overlay.png, map.npy, standard_error.npy and answer.json; of a second result overlay-2.png and so on.
Of a text answer.html takes the overlay's place. Maps of --method compare go into attributions.npz, what a mask was
optimised by into optimised.npz. Of interventions there are curve.png, series.csv, series.json, the chosen frames, and
answer.html with all of it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_question(parser)
    group = parser.add_argument_group("answer")
    group.add_argument("--out", type=Path, metavar="DIR", help="write overlay, maps and answer.json into this folder")
    group.add_argument("--map-at-input", action="store_true", help="also the map at the input's resolution")
    group.add_argument("--segments", action="store_true", help="also the segments of an image, with a score for each")
    group.add_argument(
        "--features", action="store_true", help="also the attributions at the layers, or w and sigma of a mask"
    )
    group.add_argument("--id", help="your name for the request, in the service's log")
    group.add_argument("--quiet", action="store_true", help="no progress")
    add_connection(parser, EXPLAIN_DEADLINE)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    question = question_of(args)
    if args.id:
        question["id"] = args.id
    more = [name for name in ("map_at_input", "segments", "features") if getattr(args, name)]
    if more:
        question["outputs"] = ["map", "standard_error", *more, *(() if args.text else ("overlay",))]
    with connect(args) as client:
        arguments = {**input_of(args), **question, "deadline": args.deadline}
        if args.quiet:
            answer = client.explain(**arguments)
        else:
            with ProgressLine(stderr) as line:
                answer = client.explain(**arguments, on_progress=line)
    files = answer.save(args.out) if args.out else []
    if args.json:
        print_json(answer.to_json())
    else:
        show(answer, files)
    return 0


def show(answer: Explanation, files: list[Path]) -> None:
    """The answer on standard output."""
    intervened = [result for result in answer.results if result.intervention is not None]
    if len(intervened) > 1:
        stdout.print(tables.interventions(intervened), "", sep="\n")
    for result in answer.results:
        if result.words:
            stdout.print(_words(result), end="\n\n")
        stdout.print(_table(summary.facts(result)))
        if len(result.attributions) > 1:
            stdout.print("", tables.attributions(result), sep="\n")
        _warn(result.warnings)
    times = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in answer.timings.items() if seconds >= 0.005)
    gradients = any(r.attributions or (r.optimised and not r.optimised.gradient_free) for r in answer.results)
    ground = baselines.words(answer.resolved.baseline, absent="the blank token" if gradients else "nothing")
    if intervened:  # they mask nothing
        ground = ""
    lines = [("method", answer.method), ("baseline", ground), ("seed", str(answer.seed)), ("time", times)]
    stdout.print(_table([*((name, value) for name, value in lines if value), ("id", answer.id)]))
    _warn(answer.warnings)
    for path in files:
        stdout.print("wrote", str(path), soft_wrap=True)


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        stdout.print(Text("warning", "yellow"), warning)


def _table(lines: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", min_width=14)
    table.add_column(overflow="fold")
    for name, value in lines:
        table.add_row(name, Text(value))
    return table


def _words(result: Result) -> Text:
    """The text with its words on coloured ground, rationales underlined in brackets; below it the strongest words."""
    text = Text()
    for rationale, pieces in summary.passages(result):
        text.append("" if rationale is None else "[", "bold")
        for piece in pieces:
            text.append(printable(piece.text), _style(piece))
        text.append("" if rationale is None else "]", "bold")
    strongest = sorted(result.words, key=lambda unit: -abs(unit.score))[:5]
    text.append("\n" + ", ".join(f"{printable(unit.name)} {unit.score:+.3g}" for unit in strongest), style="dim")
    return text


def _style(piece: summary.Piece) -> str:
    ground = f"black on rgb({','.join(map(str, piece.colour))})" if piece.colour else ""
    return f"{ground} underline".strip() if piece.rationale else ground
