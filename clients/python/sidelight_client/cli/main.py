"""The command's parser, and the one place where errors become words and exit codes."""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from rich.text import Text

from sidelight_client import errors
from sidelight_client.cli import catalogue, estimate, explain, health, serve
from sidelight_client.cli.terminal import stderr

EXIT_CODES: dict[type[errors.SidelightError], int] = {
    errors.InvalidRequest: 2,
    errors.NotFound: 3,
    errors.Unavailable: 4,
    errors.DeadlineExceeded: 5,
    errors.ResourceExhausted: 6,
    errors.PreconditionFailed: 7,
    errors.Aborted: 8,
    errors.Unauthenticated: 9,
    errors.PermissionDenied: 9,
    errors.Cancelled: 130,
}
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

DESCRIPTION = "Ask what made a model's prediction so, or run the service that answers."
EPILOG = """\
exit codes:
  0  done                                   6  queue full, or something too large
  1  something else, a bug                  7  the model cannot do what the method needs
  2  wrong usage or an invalid request      8  the model version disappeared; ask again
  3  unknown model, version or class        9  credentials missing, wrong or not enough
  4  service not reachable or not ready   130  interrupted; the explanation is cancelled
  5  not finished by the deadline

environment:
  SIDELIGHT_ADDRESS  host:port of the service (otherwise localhost:8085)
  SIDELIGHT_TOKEN    bearer token, sent with every call

examples:
  sidelight serve --config sidelight.toml
  sidelight health --wait 60
  sidelight catalogue
  sidelight explain cat.jpg --model efficientnet_lite0 --set masks=8000 --out cat/
  sidelight explain --text "a dull film" --model sentiment --json | jq '.results[0].units'
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv[:1] == ["serve"]:
        return serve.run(argv[1:])  # every further argument is the service's, --help too
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except errors.SidelightError as error:
        return _report(error, args.json)
    except KeyboardInterrupt:
        stderr.print("interrupted; the call is cancelled")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        _complain(f"{error.strerror}: {error.filename}")
        return 1


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("sidelight", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (explain, estimate, catalogue, health, serve):
        name = command.__name__.rpartition(".")[2]
        summary = str(command.__doc__).splitlines()[0]
        sub = commands.add_parser(
            name, help=summary, description=summary, epilog=command.EXAMPLES, formatter_class=raw, allow_abbrev=False
        )
        command.add_arguments(sub)
    return parser


def _complain(words: str) -> None:
    stderr.print(Text("error", "bold red"), words, soft_wrap=True)


def _report(error: errors.SidelightError, as_json: bool) -> int:
    """Tell the error in plain words on stderr and, where JSON was asked for, as JSON on stdout."""
    _complain(str(error))
    if (wait := error.details.retry_after) is not None:
        stderr.print(f"try again in {wait:g} s")
    if isinstance(error, errors.DeadlineExceeded) and error.evaluations_done:
        stderr.print(f"{error.evaluations_done} model evaluations were done")
    if isinstance(error, errors.InternalError) and error.request_id:
        stderr.print(f"the service's log knows more under request id {error.request_id}")
    if as_json:
        violations = [{"field": v.field, "description": v.description} for v in error.details.violations]
        print(json.dumps({"error": {"code": error.code.name, "message": error.message, "violations": violations}}))
    return EXIT_CODES.get(type(error), 1)
