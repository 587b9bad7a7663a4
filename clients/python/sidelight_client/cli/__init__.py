"""The command `sidelight`."""

from sidelight_client.cli.main import main

__all__ = ["main"]
