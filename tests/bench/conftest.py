"""What the benchmarks share. All of them are marked `bench`, so that `make test` leaves them out."""

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if "bench" in item.path.parts:
            item.add_marker(pytest.mark.bench)
