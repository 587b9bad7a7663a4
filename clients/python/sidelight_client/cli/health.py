"""Tell whether the service is ready; exit code 0 if it is, 4 if not."""

import argparse

from sidelight_client.calls import QUICK_DEADLINE, READINESS
from sidelight_client.cli.terminal import add_connection, connect, print_json, stdout

EXAMPLES = """\
examples:
  sidelight health
  sidelight health --wait 60 && sidelight explain cat.jpg --model efficientnet_lite0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--service", default=READINESS, help="by its full name; '' asks for liveness (%(default)s)")
    parser.add_argument("--wait", type=float, metavar="SECONDS", help="wait until it is ready, at most so long")
    add_connection(parser, QUICK_DEADLINE)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    with connect(args) as client:
        if args.wait is None:
            status = client.health(args.service, deadline=args.deadline)
        else:
            status = client.health(args.service, deadline=args.wait, wait=True)
    if args.json:
        print_json({"service": args.service, "status": status})
    else:
        stdout.print(status)
    return 0 if status == "SERVING" else 4
