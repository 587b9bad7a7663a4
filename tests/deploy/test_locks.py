"""The lock files: exact, hashed, and good for any machine."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = [
    ROOT / name
    for name in (
        "requirements.lock",
        "requirements-dev.lock",
        "requirements-bench.lock",
        "deploy/triton/requirements.lock",
    )
]


def pins(lock: Path) -> dict[str, str]:
    """Requirement lines of a lock, by package."""
    lines = [line for line in lock.read_text().splitlines() if line and line[0].isalpha()]
    return {line.split("==")[0]: line.split()[0] for line in lines}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(ROOT)))
def test_a_lock_names_exact_versions_with_hashes_and_no_source(lock: Path):
    requirements = [block for block in lock.read_text().replace("\\\n", "").splitlines() if block[0] not in "# "]
    assert requirements
    for requirement in requirements:
        assert "==" in requirement
        assert "--hash=sha256:" in requirement
        assert "//" not in requirement


@pytest.mark.parametrize("lock", LOCKS[:3], ids=lambda lock: lock.name)
def test_the_build_of_torch_is_left_open(lock: Path):
    assert not {"torch", "triton", "nvidia-cublas"} & pins(lock).keys()


def test_the_locks_of_the_service_agree():
    runtime, dev, bench = (pins(lock).items() for lock in LOCKS[:3])
    assert runtime <= dev <= bench
