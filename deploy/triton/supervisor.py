"""Run one command and let nothing of it outlive the process that asked for it.

    python supervisor.py GRACE_SECONDS SHM_PREFIX -- COMMAND ARGUMENT...

The parent holds the write end of this process's standard input. When the pipe closes, because the parent closed it or
because the parent was killed by whatever signal, the command gets SIGTERM, then GRACE_SECONDS, then SIGKILL together
with every process it started. When the parent writes a byte, SIGKILL comes at once. A pipe is used rather than
PR_SET_PDEATHSIG on the command alone, since that signal follows the *thread* that forked and does not reach Triton's
Python stubs.

The command is the leader of its own process group, and orphans of the group come to this process to be reaped, so that
no zombies stay either (a container's first process may reap none).
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def die_with_parent() -> None:
    """Have the kernel end the command where this supervisor itself is killed. Runs between fork and exec.

    The command takes SIGTERM again, which it would otherwise ignore, as this process does, until it has a handler.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for interrupt in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interrupt, signal.SIG_DFL)


def supervise(command: list[str], grace: float) -> int:
    """Run the command until it exits or the parent wants it to end, and clear up after it. Returns its status."""
    for interrupt in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interrupt, signal.SIG_IGN)  # the parent decides when to stop, by the pipe
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=die_with_parent)
    ended, parent = os.pidfd_open(child.pid), sys.stdin.fileno()
    ready, _, _ = select.select([ended, parent], [], [])
    if ended not in ready and not os.read(parent, 1):
        child.terminate()
        select.select([ended], [], [], grace)
    os.killpg(child.pid, signal.SIGKILL)  # before the leader is reaped: until then its group's number is not reused
    status = child.wait()
    with contextlib.suppress(ChildProcessError):  # none left
        while True:
            os.wait()
    return status


def remove_shared_memory(prefix: str) -> None:
    """Remove the regions of killed Python stubs, which unlink them in an orderly exit only."""
    for region in Path("/dev/shm").glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


def main() -> None:
    grace, shm_prefix, _, *command = sys.argv[1:]
    status = supervise(command, float(grace))
    remove_shared_memory(shm_prefix)
    print(f"supervisor: {Path(command[0]).name} exited with status {status}", flush=True)


if __name__ == "__main__":
    main()
