"""`python -m sidelight_client` is the `sidelight` command."""

import sys

from sidelight_client.cli import main

sys.exit(main())
