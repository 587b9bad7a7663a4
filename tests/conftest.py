"""What all tests share."""

from hypothesis import settings

# Timings vary on shared machines: a slow example is not a failure. Hangs are caught by pytest-timeout.
settings.register_profile("sidelight", deadline=None, max_examples=60)
settings.load_profile("sidelight")
