"""Memory that this process and a Triton on the same host both map, so that rows are copied once and never sent.

A region is a file in /dev/shm (or an allocation on the GPU) and an entry in Triton's table under the same name. A
file is locked for as long as its owner lives: whatever is not locked belongs to a process that was killed.
"""

import fcntl
import mmap
import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from sidelight.predictors.triton_errors import region_in_use

SHM = Path("/dev/shm")
PREFIX = "sidelight-"
TIMEOUT = 5.0  # seconds for a call that registers


class Region(Protocol):
    """Shared memory of `size` bytes that Triton knows as `name` once it is registered."""

    name: str
    size: int

    def tensor(self, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
        """The beginning of the region as a tensor. No such tensor may outlive the region."""

    def register(self, client: InferenceServerClient) -> None:
        """Have Triton map it, anew where it knows the name. Raises InferenceServerException."""

    def registered(self, client: InferenceServerClient) -> bool:
        """Whether Triton lists it as it is."""

    def unregister(self, client: InferenceServerClient) -> None:
        """Have Triton forget it. Raises InferenceServerException."""

    def flush(self) -> None:
        """Return when what was copied to `tensor` is there."""

    def close(self) -> None:
        """Give the memory back."""


class SystemRegion:
    """A region in /dev/shm. Raises OSError where there is no room or no /dev/shm."""

    def __init__(self, size: int) -> None:
        self.name, self.size = f"{PREFIX}{os.getpid()}-{uuid.uuid4().hex[:12]}", size
        # Locked before it has a name, so that nobody sees it unlocked.
        self._file = os.open(SHM, os.O_TMPFILE | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            os.posix_fallocate(self._file, 0, size)  # an error here instead of SIGBUS at the first write
            self._map = mmap.mmap(self._file, size)
            # With a directory given, Python follows the link in /proc, as the system call has to.
            os.link(f"/proc/self/fd/{self._file}", SHM / self.name, src_dir_fd=self._file)
        except OSError:
            os.close(self._file)
            raise
        self._bytes = torch.frombuffer(self._map, dtype=torch.uint8)

    def tensor(self, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
        count = torch.Size(shape).numel()
        return self._bytes[: count * dtype.itemsize].view(dtype).view(shape)

    def register(self, client: InferenceServerClient) -> None:
        if self._status(client):
            self.unregister(client)
        client.register_system_shared_memory(self.name, f"/{self.name}", self.size, client_timeout=TIMEOUT)

    def registered(self, client: InferenceServerClient) -> bool:
        return [entry.byte_size for entry in self._status(client)] == [self.size]

    def _status(self, client: InferenceServerClient) -> list[Any]:
        regions = client.get_system_shared_memory_status(client_timeout=TIMEOUT).regions
        return [regions[self.name]] if self.name in regions else []

    def unregister(self, client: InferenceServerClient) -> None:
        client.unregister_system_shared_memory(self.name, client_timeout=TIMEOUT)

    def flush(self) -> None: ...

    def close(self) -> None:
        (SHM / self.name).unlink(missing_ok=True)
        # The mapping goes with the last tensor on it: closing it under a call that is being given up would be an error.
        del self._bytes, self._map
        os.close(self._file)


class CudaRegion:
    """A region on a GPU. Raises RuntimeError where CUDA's Python bindings are absent or the GPU is full."""

    def __init__(self, size: int, device: torch.device) -> None:
        from tritonclient.utils import cuda_shared_memory  # needs cuda-python, which only this kind of region does

        self._cuda, self._device = cuda_shared_memory, device
        self.name, self.size = f"{PREFIX}{os.getpid()}-{uuid.uuid4().hex[:12]}", size
        self._index = device.index or 0
        try:
            self._handle = cuda_shared_memory.create_shared_memory_region(self.name, size, self._index)
        except cuda_shared_memory.CudaSharedMemoryException as error:
            raise RuntimeError(f"no CUDA shared memory on {device}: {error}") from error
        view = cuda_shared_memory.as_shared_memory_tensor(self._handle, "UINT8", [size])
        self._bytes: torch.Tensor = torch.from_dlpack(view)

    def tensor(self, dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
        count = torch.Size(shape).numel()
        return self._bytes[: count * dtype.itemsize].view(dtype).view(shape)

    def register(self, client: InferenceServerClient) -> None:
        if self.registered(client):
            self.unregister(client)
        raw = self._cuda.get_raw_handle(self._handle)
        client.register_cuda_shared_memory(self.name, raw, self._index, self.size, client_timeout=TIMEOUT)

    def registered(self, client: InferenceServerClient) -> bool:
        return self.name in client.get_cuda_shared_memory_status(client_timeout=TIMEOUT).regions

    def unregister(self, client: InferenceServerClient) -> None:
        client.unregister_cuda_shared_memory(self.name, client_timeout=TIMEOUT)

    def flush(self) -> None:
        torch.cuda.current_stream(self._device).synchronize()

    def close(self) -> None:
        del self._bytes
        self._cuda.destroy_shared_memory_region(self._handle)
        del self._handle  # the last reference frees the memory


class Pool:
    """Regions of one model version, for its calls under way. Any thread.

    They are never shared with another model: Triton may still be reading a cancelled request's rows, and finds at
    worst other rows of the same kind.
    """

    def __init__(self, client: InferenceServerClient, make: Callable[[int], Region]) -> None:
        self._client, self._make = client, make
        self._free: list[Region] = []
        self._all: list[Region] = []
        self._leaving: list[Region] = []  # outgrown, while Triton still reads from them for a cancelled request
        self._lock = threading.Lock()

    @property
    def idle(self) -> bool:
        """Whether no call uses it."""
        return len(self._free) == len(self._all)

    def take(self, size: int) -> Region:
        """A registered region of at least `size` bytes. Raises OSError, RuntimeError or InferenceServerException."""
        with self._lock:
            for region in self._free:
                if region.size >= size:
                    self._free.remove(region)
                    return region
            if self._free:
                outgrown = self._free.pop()
                self._all.remove(outgrown)
                self._leaving.append(outgrown)
            self._leaving = [region for region in self._leaving if not dismiss(region, self._client)]
            region = self._make(size)
            try:
                region.register(self._client)
            except InferenceServerException:
                region.close()
                raise
            self._all.append(region)
            return region

    def give(self, region: Region) -> None:
        """Take it back, for the next call."""
        with self._lock:
            if region in self._all:
                self._free.append(region)

    def close(self) -> None:
        """Unregister and give back all regions, those of calls under way too."""
        with self._lock:
            leaving = self._leaving + self._all
            self._leaving, self._all, self._free = [], [], []
        until = time.monotonic() + TIMEOUT
        while leaving := [region for region in leaving if not dismiss(region, self._client)]:
            if time.monotonic() > until:  # Triton forgets them when this service starts again
                for region in leaving:
                    region.close()
                return
            time.sleep(0.05)


def dismiss(region: Region, client: InferenceServerClient) -> bool:
    """Unregister the region and give it back; False where Triton is still reading from it."""
    try:
        region.unregister(client)
    except InferenceServerException as error:
        if region_in_use(error):
            return False
    except ValueError:  # the connection is closed: Triton forgets the region when this service starts again
        pass
    region.close()
    return True


def remove_stale(client: InferenceServerClient) -> list[str]:
    """Remove what killed processes left, in Triton's table and in /dev/shm. Returns the names.

    To be called where Triton is known to share /dev/shm. Raises InferenceServerException.
    """
    known = client.get_system_shared_memory_status(client_timeout=TIMEOUT).regions
    names = {name for name in known if name.startswith(PREFIX)} | {path.name for path in SHM.glob(f"{PREFIX}*")}
    stale = sorted(name for name in names if not _owned(SHM / name))
    for name in stale:
        (SHM / name).unlink(missing_ok=True)
        if name in known:
            try:
                client.unregister_system_shared_memory(name, client_timeout=TIMEOUT)
            except InferenceServerException as error:
                if not region_in_use(error):
                    raise
    return stale


def _owned(path: Path) -> bool:
    """Whether a living process holds the file's lock (in whatever process namespace: a pid would not tell)."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True  # another user's: not ours to judge
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
