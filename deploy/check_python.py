"""Say in plain words what keeps the service from being set up with this interpreter (run by `make`).

    python3 deploy/check_python.py [VENV]

Written for any Python, since the wrong one is what it is there to find.
"""

import os
import platform
import sys

WANTED = ((3, 11), (3, 12))


def problem(venv):
    """What is wrong, or None."""
    here = sys.version_info[:2]
    if platform.system() != "Linux":
        return "Sidelight's service runs on Linux, this is %s (its client runs anywhere)" % platform.system()
    if here not in WANTED:
        return "Python 3.11 or 3.12 is needed, %s is %d.%d: install one, or run make PYTHON=/path/to/python3.12" % (
            (sys.executable,) + here
        )
    try:
        import ensurepip  # noqa: F401
        import venv as _  # noqa: F401
    except ImportError:
        return "%s has no venv module: install it (Debian: apt-get install python%d.%d-venv)" % (
            (sys.executable,) + here
        )
    packages = os.path.join(venv, "lib", "python%d.%d" % here)
    if os.path.isdir(os.path.join(venv, "lib")) and not os.path.isdir(packages):
        return "%s was made by another Python than %d.%d: remove it, or name that Python (make PYTHON=...)" % (
            (venv,) + here
        )
    return None


if __name__ == "__main__":
    found = problem(sys.argv[1] if len(sys.argv) > 1 else ".venv")
    if found:
        sys.exit("cannot set up: " + found)
