"""The two streams of the command, and what all commands that call the service have in common."""

import argparse
import json
import os
import sys
from typing import TextIO

from rich.console import Console

from sidelight_client.client import Client


def _console(stream: TextIO) -> Console:
    """Rich leaves colours and bars out where the stream is not a terminal; its 80 columns would squeeze tables there.

    What is printed is mostly the service's or the caller's own text, in which [brackets] and :colons: mean nothing.
    """
    width = None if stream.isatty() else 120
    return Console(width=width, highlight=False, markup=False, emoji=False, stderr=stream is sys.stderr)


stdout = _console(sys.stdout)
stderr = _console(sys.stderr)


def printable(text: str) -> str:
    """Somebody else's text, lines and tabs kept: what would steer the terminal is shown as no character."""
    return text.replace("\r\n", "\n").translate(_STEERING)


_STEERING = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - {ord("\n"), ord("\t")}, "\N{REPLACEMENT CHARACTER}")


def add_connection(parser: argparse.ArgumentParser, deadline: float) -> None:
    """The flags of every command that calls the service."""
    group = parser.add_argument_group("service")
    address = os.environ.get("SIDELIGHT_ADDRESS", "localhost:8085")
    group.add_argument("--address", default=address, metavar="HOST:PORT", help="where it listens (%(default)s)")
    group.add_argument("--tls", action="store_true", help="encrypt, trusting the system's certificate authorities")
    group.add_argument("--ca", metavar="FILE", help="encrypt, trusting the certificate authorities in this PEM file")
    group.add_argument("--deadline", type=float, default=deadline, metavar="SECONDS", help="patience (%(default)g)")
    group.add_argument("--json", action="store_true", help="print JSON on standard output and nothing else there")


def connect(args: argparse.Namespace) -> Client:
    return Client(args.address, tls=args.ca or args.tls, token=os.environ.get("SIDELIGHT_TOKEN"))


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))
