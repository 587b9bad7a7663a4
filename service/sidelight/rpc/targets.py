"""Which number is to be explained: `Target` messages checked against a model, and resolved on its output."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sidelight_proto.v1 import types_pb2

from sidelight.core.errors import InvalidRequest, Unknown
from sidelight.core.predictor import ModelSpec
from sidelight.core.target import Link, OutputKind, Target, class_values, outputs, resolve_link
from sidelight.rpc.violations import Violations

LINK_OF = {number: Link[name.removeprefix("LINK_")] for name, number in types_pb2.Link.items() if number}
NUMBER_OF = {link: number for number, link in LINK_OF.items()}


@dataclass(frozen=True, eq=False)
class TargetQuestion:
    """A target in the caller's words for one model, as far as it can be checked before the model has answered."""

    spec: ModelSpec
    link: Link
    classes: tuple[int, ...]
    top_k: int  # 0 where classes or references are named
    contrast: tuple[int, ...]
    references: torch.Tensor | None
    names: tuple[str, ...]  # of the references: those of one name describe one class

    @property
    def pending(self) -> Target:
        """Stands in a job until the target is resolved."""
        described = _described(self.names)
        groups = tuple(described.index(name) for name in self.names)
        return Target(self.spec.kind, self.link, self.classes, self.contrast, self.references, groups)

    @property
    def most(self) -> int:
        """How many numbers are explained."""
        return len(_described(self.names)) if self.link is Link.COSINE else len(self.classes) or self.top_k

    def resolve(self, y: torch.Tensor) -> Target:
        """The target, given the output y [1, ...] on the input. Raises InvalidRequest."""
        y = outputs(y, self.spec.kind)
        check_sizes(self, y.shape[1])
        if self.link is Link.COSINE:
            return self.pending
        classes = self.classes or tuple(y[0].topk(self.top_k).indices.tolist())
        for index in sorted(set(classes) & set(self.contrast)):
            name = self.spec.labels[index] if self.spec.labels else index
            raise InvalidRequest("target.contrast", f"class {name} is itself explained; contrast it with another")
        return Target(self.spec.kind, self.link, classes, self.contrast)


def decode_target(message: types_pb2.Target, spec: ModelSpec, classes: int, most: int) -> TargetQuestion:
    """The question in `message` to a model of `classes` outputs (0: not known yet), with at most `most` targets."""
    wrong = Violations()
    link = _link(message, spec, wrong)
    named = _indices("target.classes", message.classes, spec, wrong)
    contrast = _indices("target.contrast", message.contrast, spec, wrong)
    asked = message.top_k if message.HasField("top_k") else None
    if asked is not None and not 1 <= asked <= most:
        wrong.add("target.top_k", f"a number in 1..{most}, not {asked}")
    if asked is not None and named:
        wrong.add("target.top_k", "either name classes or ask for the top k, not both")
    if len(named) > most:
        wrong.add("target.classes", f"at most {most} classes, not {len(named)}")
    references = None
    if link is Link.COSINE:
        if named or contrast or asked is not None:
            wrong.add(
                "target", "LINK_COSINE explains the similarity to `references`; leave classes, top_k, contrast out"
            )
        if (described := len(_described([r.name for r in message.references]))) > most:
            wrong.add(
                "target.references", f"of at most {most} classes, those of one name being of one, not {described}"
            )
        with wrong.gathered():
            references = _references(message.references)
    elif message.references:
        wrong.add("target.references", "are for LINK_COSINE only; set target.link to it, or leave them out")
    wrong.settle()
    names = tuple(r.name for r in message.references)
    question = TargetQuestion(spec, link, named, 0 if named else asked or 1, contrast, references, names)
    if classes:
        check_sizes(question, classes)
    return question


def check_sizes(question: TargetQuestion, classes: int) -> None:
    """Raises InvalidRequest for what does not fit an output of `classes` numbers."""
    for path, indices in (("target.classes", question.classes), ("target.contrast", question.contrast)):
        for index in indices:
            if index >= classes:
                raise InvalidRequest(path, f"an index below {classes}, the model's number of outputs, not {index}")
    if question.references is not None and question.references.shape[1] != classes:
        got = question.references.shape[1]
        raise InvalidRequest("target.references", f"vectors of {classes} numbers like the model's output, not {got}")
    if question.link is not Link.COSINE and question.top_k > classes:
        raise InvalidRequest("target.top_k", f"at most {classes}, the model's number of outputs, not {question.top_k}")


def _link(message: types_pb2.Target, spec: ModelSpec, wrong: Violations) -> Link:
    asked = LINK_OF.get(message.link)
    if message.link and asked is None:
        wrong.add("target.link", f"one of {', '.join(types_pb2.Link.keys())}, not {message.link}")
    with wrong.gathered():
        return resolve_link(asked, spec.kind)
    return Link.AS_SERVED  # never used: `wrong` is raised before


def _indices(path: str, refs: Sequence[types_pb2.ClassRef], spec: ModelSpec, wrong: Violations) -> tuple[int, ...]:
    found: list[int] = []
    for i, ref in enumerate(refs):
        where = f"{path}[{i}]"
        with wrong.gathered():
            index = _index(where, ref, spec)
            if index in found:
                raise InvalidRequest(where, f"class {index} is named twice; name it once")
            found.append(index)
    return tuple(found)


def _index(where: str, ref: types_pb2.ClassRef, spec: ModelSpec) -> int:
    if ref.WhichOneof("by") is None:
        raise InvalidRequest(where, "is empty; set its index or its label")
    if ref.WhichOneof("by") == "index":
        return ref.index
    if not spec.labels:
        raise InvalidRequest(
            f"{where}.label", f"model {spec.name} has no labels (output.labels of its card); use index"
        )
    at = [i for i, label in enumerate(spec.labels) if label.casefold() == ref.label.casefold()]
    at = [i for i in at if spec.labels[i] == ref.label] or at
    if not at:
        raise InvalidRequest(f"{where}.label", str(Unknown("class", ref.label, spec.labels)))
    if len(at) > 1:
        raise InvalidRequest(f"{where}.label", f"{ref.label!r} is the label of classes {at}; use index")
    return at[0]


def _references(embeddings: Sequence[types_pb2.Embedding]) -> torch.Tensor:
    """[R, K] float64."""
    if not embeddings:
        raise InvalidRequest("target.references", "LINK_COSINE needs at least one reference vector")
    for i, e in enumerate(embeddings):
        where = f"target.references[{i}].values"
        if len(e.values) != len(embeddings[0].values) or not e.values:
            raise InvalidRequest(where, "as many numbers as the model's output, in each reference alike")
        if not all(math.isfinite(v) for v in e.values):
            raise InvalidRequest(where, "finite numbers")
        if not any(e.values):
            raise InvalidRequest(where, "not all zero: nothing is similar to that")
    return torch.tensor([list(e.values) for e in embeddings], dtype=torch.float64)


def _described(names: Sequence[str]) -> tuple[str, ...]:
    """The classes that references of these names describe, in the order of their first."""
    return tuple(dict.fromkeys(names))


def class_score(spec: ModelSpec, index: int, value: float) -> types_pb2.ClassScore:
    """A class with its label."""
    label = spec.labels[index] if index < len(spec.labels) else ""
    return types_pb2.ClassScore(index=index, label=label, value=value)


def encode_target(
    target: Target, t: int, names: Sequence[str], spec: ModelSpec, y: torch.Tensor
) -> types_pb2.ResolvedTarget:
    """The t-th explained number of `target`; `y` [1, ...] is the output on the input, for the classes' own values.

    names: of the references.
    """
    if target.link is Link.COSINE:
        described = _described(names)[t]
        return types_pb2.ResolvedTarget(link=NUMBER_OF[target.link], scale=target.scale, references=[described])

    def scored(index: int) -> types_pb2.ClassScore:
        alone = Target(target.kind, target.link, (index,))
        return class_score(spec, index, alone.score(y).item())

    return types_pb2.ResolvedTarget(
        instance=scored(target.classes[t]),
        contrast=[scored(c) for c in target.contrast],
        link=NUMBER_OF[target.link],
        scale=target.scale,
    )


def top_classes(spec: ModelSpec, y: torch.Tensor, count: int = 5) -> tuple[list[types_pb2.ClassScore], str]:
    """The classes that the model ranks highest for y [1, ...], as probabilities where that can be told; their scale."""
    y = class_values(outputs(y, spec.kind), spec.kind)
    scale = "as_served" if spec.kind is OutputKind.AS_SERVED else "probability"
    values, indices = y[0].topk(min(count, y.shape[1]))
    return [class_score(spec, i, v) for i, v in zip(indices.tolist(), values.tolist(), strict=True)], scale
