"""What all tests share."""

import os

from hypothesis import settings
from sidelight.process import SAME_SUMS

os.environ.setdefault(*SAME_SUMS)  # as the service does

# Timings vary on shared machines: a slow example is not a failure. Hangs are caught by pytest-timeout.
settings.register_profile("sidelight", deadline=None, max_examples=60)
settings.load_profile("sidelight")
