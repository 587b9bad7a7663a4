"""The service's command line: `python -m sidelight --config sidelight.toml`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sidelight import config as configuration
from sidelight import process
from sidelight.config import Config, ConfigError

EXAMPLES = """\
examples:
  python -m sidelight --config sidelight.toml
  python -m sidelight --triton localhost:8001 --model resnet50 --card resnet50.toml
  python -m sidelight --print-config > sidelight.toml
"""


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    p = argparse.ArgumentParser(
        "sidelight", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--config", type=Path, metavar="FILE", help="configuration, TOML")
    p.add_argument("--check", action="store_true", help="check the configuration and the model cards, then exit")
    p.add_argument("--print-config", action="store_true", help="print every key with its default and meaning")
    one = p.add_argument_group("one model on your Triton, without a configuration file")
    one.add_argument("--triton", metavar="HOST:PORT", help="Triton's gRPC address")
    one.add_argument("--model", metavar="NAME", help="the model's name in Triton")
    one.add_argument("--card", type=Path, metavar="FILE", help="its model card, TOML")
    address = p.add_argument_group("where to listen, instead of what the configuration says")
    address.add_argument("--host")
    address.add_argument("--port", type=int, help="gRPC; 0 chooses a free one")
    address.add_argument("--metrics-port", type=int, help="/metrics; 0 chooses a free one")
    return p


def configured(arguments: argparse.Namespace) -> Config:
    """File, environment and arguments together. Raises ConfigError."""
    given = {"triton": arguments.triton, "name": arguments.model, "card": arguments.card}
    extra = {key: str(value) for key, value in given.items() if value is not None}
    server = {key: getattr(arguments, key) for key in ("host", "port", "metrics_port")}
    changes = {key: value for key, value in server.items() if value is not None}
    return configuration.load(arguments.config, os.environ, server=changes, model=extra)


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit status: 0 after a shutdown that was asked for, 2 for a wrong configuration."""
    arguments = parser().parse_args(argv)
    if arguments.print_config:
        print(configuration.documented(), end="")
        return 0
    os.environ.setdefault(*process.SAME_SUMS)
    from sidelight import telemetry, wiring  # torch takes seconds to import: not for --help

    try:
        config = configured(arguments)
        source = str(arguments.config or "arguments")
        makers, twins = wiring.makers(config, source), wiring.twins(config, source)
        editors = wiring.editors(config, source)
        if arguments.check:
            print(f"{arguments.config or 'the configuration'} is good: {', '.join((*makers, *editors))}")
            return 0
        if editors or any(model.embedded or model.twin for model in config.models):
            process.keep_freed_memory()
        telemetry.set_up_logging(config.logging.level, config.logging.format)
        asyncio.run(wiring.serve(config, makers, twins, editors))
    except (ConfigError, wiring.CannotListen) as error:
        print(f"sidelight: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
