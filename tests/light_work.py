"""Local functions for the tests, in a module that processes import without torch."""

import os
import sys
import time

import numpy as np
from sidelight.core.errors import InvalidRequest
from sidelight.core.local import local


@local("modules")
def modules(columns):
    """Which process it was, and what it has imported."""
    return {"pid": np.array([os.getpid()]), "modules": [sorted(sys.modules)]}


@local("refusing")
def refusing(columns):
    raise InvalidRequest("labels", f"at least two segments, not {columns['n'][0]}")


@local("sleeping")
def sleeping(columns):
    time.sleep(columns["seconds"])
    return {}
