"""Say what an explanation would cost, without running it."""

import argparse
import dataclasses

from sidelight_client.calls import QUICK_DEADLINE
from sidelight_client.cli.question import add_question, input_of, question_of
from sidelight_client.cli.terminal import add_connection, connect, print_json, stdout

EXAMPLES = """\
examples:
  sidelight estimate cat.jpg --model efficientnet_lite0 --set masks=8000
  sidelight estimate cat.jpg --model efficientnet_lite0 --json | jq .seconds_with_queue
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_question(parser)
    add_connection(parser, QUICK_DEADLINE)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    with connect(args) as client:
        cost = client.estimate(**input_of(args), **question_of(args), deadline=args.deadline)
    if args.json:
        print_json(dataclasses.asdict(cost))
        return 0
    edits = f" and {cost.edits} image edits" if cost.edits else ""
    stdout.print(f"{cost.evaluations} model evaluations{edits}")
    if cost.baseline:
        stdout.print(f"baseline: {cost.baseline}")
    stdout.print(f"{cost.seconds:.1f} s alone, {cost.seconds_with_queue:.1f} s with the work already admitted")
    return 0
