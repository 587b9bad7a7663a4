"""The test models as a Triton repository: one source, a configuration each."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class TestModel:
    """A model: tensors as (name, type, dims), what it computes, and lines of configuration."""

    __test__ = False  # not a test class

    inputs: tuple[tuple[str, str, tuple[int, ...]], ...] = (("x", "FP32", (3, 8, 8)),)
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...] = (("y", "FP32", (5,)),)
    compute: str = "linear"
    batch: int = 16
    versions: tuple[int, ...] = (1,)
    format: str = ""  # FORMAT_NCHW or FORMAT_NHWC
    parameters: dict[str, str] = field(default_factory=dict)
    more: str = ""

    def config(self, name: str) -> str:
        """config.pbtxt."""
        lines = [f'name: "{name}"', 'backend: "python"', f"max_batch_size: {self.batch}"]
        for kind, tensors in (("input", self.inputs), ("output", self.outputs)):
            for tensor, datatype, dims in tensors:
                datatype = "STRING" if datatype == "BYTES" else datatype
                layout = f"format: {self.format}" if self.format and kind == "input" else ""
                lines.append(
                    f'{kind} {{ name: "{tensor}" data_type: TYPE_{datatype} dims: {list(dims)} {layout} }}',
                )
        lines.append(f"version_policy {{ specific {{ versions: {list(self.versions)} }} }}")
        lines.append("instance_group { kind: KIND_CPU count: 1 }")
        for key, value in {"compute": self.compute, **self.parameters}.items():
            lines.append(f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}')
        return "\n".join([*lines, self.more, ""])


def image(datatype: str, *dims: int) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    """The input "x"."""
    return (("x", datatype, dims),)


PRIORITIES = "dynamic_batching { preferred_batch_size: [ 4, 8 ] priority_levels: 3 default_priority_level: 1 }"
MODELS = {
    "nchw": TestModel(format="FORMAT_NCHW", versions=(1, 2), more=PRIORITIES),
    "nhwc": TestModel(image("FP32", 8, 8, 3), format="FORMAT_NHWC"),
    "half": TestModel(image("FP16", 3, 8, 8), (("y", "FP16", (5,)),)),
    "bytes": TestModel(image("UINT8", 8, 8, 3), (("y", "FP64", (5, 1, 2)),)),
    "anysize": TestModel(image("FP32", 3, -1, -1), compute="pooled"),
    "lone": TestModel(batch=0, parameters={"axis": "none"}),
    "axis": TestModel(image("FP32", -1, 3, 8, 8), (("y", "FP32", (-1, 5)),), batch=0),
    "four": TestModel(image("FP32", 4, 3, 8, 8), (("y", "FP32", (4, 5)),), batch=0),
    "onebyone": TestModel(image("FP32", 1, 3, 8, 8), (("y", "FP32", (1, 5)),), batch=0),
    "chance": TestModel(outputs=(("p", "FP32", (1,)),), compute="sigmoid"),
    "texts": TestModel(image("BYTES", 1), (("y", "FP32", (2,)),), compute="texts"),
    "tokens": TestModel(image("INT64", -1), (("y", "FP32", (3,)),), compute="tokens"),
    "nan": TestModel(parameters={"fault": "nan"}),
    "refusing": TestModel(parameters={"fault": "error"}),
    "full": TestModel(parameters={"fault": "memory"}),
    "slow": TestModel(parameters={"seconds": "0.4"}),
    "ambiguous": TestModel((("a", "FP32", (3, 8, 8)), ("b", "FP32", (4,))), (("y", "FP32", (5,)), ("z", "FP32", (5,)))),
}


def write(folder: Path, models: dict[str, TestModel] = MODELS) -> Path:
    """Write the repository to `folder`."""
    for name, model in models.items():
        for version in model.versions:
            home = folder / name / str(version)
            home.mkdir(parents=True)
            shutil.copy(HERE / "model.py", home)
            shutil.copy(HERE / "reference.py", home)
        (folder / name / "config.pbtxt").write_text(model.config(name))
    return folder
