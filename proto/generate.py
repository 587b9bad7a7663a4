"""Generate `sidelight_proto` from `proto/sidelight/v1` (run by `make proto`; `--check` fails when it is not current).

protoc derives Python import paths from proto paths. The protos live in `sidelight/v1`, as buf wants for their package,
but the service's own package is called `sidelight`; so the generated imports are moved to `sidelight_proto.v1`.
"""

import argparse
import filecmp
import re
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).parent
TARGET = HERE / "python" / "sidelight_proto" / "v1"
SERVICE_CONFIG = "service_config.json"


def generate(out: Path) -> None:
    """Write the generated modules and stubs to `out`."""
    protos = sorted(str(path.relative_to(HERE)) for path in (HERE / "sidelight" / "v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        well_known = resources.files("grpc_tools") / "_proto"
        args = ["protoc", f"-I{HERE}", f"-I{well_known}"]
        args += [f"--{kind}_out={scratch}" for kind in ("python", "pyi", "grpc_python")]
        if protoc.main([*args, *protos]) != 0:
            sys.exit("protoc failed")
        out.mkdir(parents=True, exist_ok=True)
        (out / "__init__.py").touch()
        for path in sorted((Path(scratch) / "sidelight" / "v1").iterdir()):
            text = re.sub(r"^from sidelight\.v1 import", "from sidelight_proto.v1 import", path.read_text(), flags=re.M)
            # A proto without a service gets an empty gRPC module: leave it out.
            if not path.name.endswith("_grpc.py") or re.search(r"^class \w+Stub\b", text, flags=re.M):
                (out / path.name).write_text(text)
        # Package data, so that clients read the published retry policy and not a copy of their own.
        shutil.copyfile(HERE / "sidelight" / "v1" / SERVICE_CONFIG, out / SERVICE_CONFIG)


def current() -> list[str]:
    """Names of generated files that differ from what is committed."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        names = {p.name for p in Path(scratch).iterdir()} | {p.name for p in TARGET.glob("*.py*")}
        return [n for n in sorted(names) if not _same(Path(scratch) / n, TARGET / n)]


def _same(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and filecmp.cmp(a, b, shallow=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a file is not current")
    if parser.parse_args().check:
        stale = current()
        sys.exit(f"not current, run `make proto`: {', '.join(stale)}" if stale else 0)
    generate(TARGET)
