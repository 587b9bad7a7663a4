"""The flags that say what is to be explained; `explain` and `estimate` share them."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sidelight_proto.v1.metrics_pb2 import Metric

from sidelight_client.baselines import COLOURS, WITH_IMAGES, BaselineLike
from sidelight_client.cli.properties import property_of, series_of
from sidelight_client.errors import InvalidRequest
from sidelight_client.methods import METHODS
from sidelight_client.properties import CHANGES, EDITORS
from sidelight_client.question import Model, Question

INTERVENTIONAL = "interventional"


def add_question(parser: argparse.ArgumentParser) -> None:
    """The flags; their names are those of `Question`."""
    parser.add_argument("input", nargs="?", metavar="IMAGE", help="an image file; - reads one from standard input")
    parser.add_argument("--text", help="a text instead of an image")
    parser.add_argument(
        "--series", nargs="+", action="extend", metavar="PATH",
        help="ordered images instead of one, in which one property changes: files, or a folder of them by name",
    )  # fmt: skip
    parser.add_argument("--unit", default="", help="of a series' strengths: degree, day, ...")
    parser.add_argument(
        "--strengths", metavar="X,X,...|X..X",
        help="of a series' images, or first and last of them (0, 1, 2, ...); with a minus in front --strengths=-30..30",
    )  # fmt: skip
    parser.add_argument("--model", required=True, action="append", metavar="NAME[@VERSION]", help="repeat to compare")
    group = parser.add_argument_group("question")
    group.add_argument("--target", action="append", metavar="CLASS", help="index or label of a class to explain")
    group.add_argument("--top-k", type=int, metavar="K", help="explain the K highest-ranked classes (1)")
    group.add_argument("--contrast", action="append", metavar="CLASS", help="subtract it: why this and not that")
    group.add_argument("--link", help="scale of the explained number: logit, probability, log_probability, cosine, ...")
    group.add_argument(
        "--reference", action="append", metavar="NAME=FILE",
        help="for --link cosine: a vector (.npy), or several [n, K]; repeat for more classes, or more vectors of one",
    )  # fmt: skip
    group.add_argument(
        "--baseline", action="append",
        help=f"what stands for 'not there': model_mean, blur, noise, {', '.join(COLOURS)}, R,G,B, an image or "
        "reference_mean=IMAGE,...; of path methods also feature_zero, neutral and feature_mean or "
        "feature_mean=IMAGE,...; repeat for a distribution",
    )  # fmt: skip
    group.add_argument("--seed", type=int, help="for the same answer again")
    group = parser.add_argument_group("method")
    group.add_argument(
        "--method", metavar="NAME",
        help=f"{', '.join(METHODS)} (rise; with --property or --series {INTERVENTIONAL})",
    )  # fmt: skip
    group.add_argument(
        "--property", action="append", default=[], metavar="WHAT[:KEY=VALUE,...]",
        help=f"what is changed gradually: {', '.join(CHANGES)}, or an editor: {', '.join(EDITORS)}; each with first, "
        "last, count, strengths, name, unit, and its own parameters (prompt=..., image=FILE, fill=..., angle=...); "
        "repeat for several",
    )  # fmt: skip
    group.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help=f"a parameter of the method; choices by name, lists as a,b, arrays as @FILE.npy; {_parameters()}",
    )  # fmt: skip
    group.add_argument(
        "--metric", action="append", default=[], metavar="NAME[:KEY=VALUE,...]",
        help=f"measure the map as well: {', '.join(Metric.DESCRIPTOR.fields_by_name)}",
    )  # fmt: skip
    group = parser.add_argument_group("when to stop")
    group.add_argument("--max-evaluations", type=int, metavar="ROWS", help="after so many rows of the method")
    group.add_argument("--tolerance", type=float, metavar="RATIO", help="at this relative error")
    group.add_argument(
        "--allow-partial", action="store_true", default=None, help="at the deadline take what there is by then"
    )


def input_of(args: argparse.Namespace) -> dict:
    """The input, as the client's `input` or `text`."""
    if args.series:
        if args.input is not None or args.text is not None:
            raise InvalidRequest.of("input", "give an image, a text or --series, one of them")
        return {"input": series_of(args.series, args.strengths, args.unit)}
    for flag in ("strengths", "unit"):
        if getattr(args, flag):
            raise InvalidRequest.of(flag, "is of --series; of edits it goes into --property")
    if args.input == "-":
        return {"input": sys.stdin.buffer.read(), "text": args.text}
    if args.input is not None and not Path(args.input).is_file():
        raise InvalidRequest.of("input", f"there is no file {args.input!r}; a text to explain goes into --text")
    return {"input": args.input, "text": args.text}


def question_of(args: argparse.Namespace) -> Question:
    """The question that the flags ask."""
    method = args.method or (INTERVENTIONAL if args.property or args.series else "rise")
    parameters = _settings(method, args.set)
    if args.property:
        if method != INTERVENTIONAL:
            raise InvalidRequest.of("property", f"is for --method {INTERVENTIONAL}, not for {method}")
        parameters["properties"] = [property_of(text) for text in args.property]
    question = Question(
        model=[Model(*text.split("@", 1)) for text in args.model],
        method=method,
        parameters=parameters,
        metrics=_metrics(args.metric),
    )
    for name in ("top_k", "link", "seed", "max_evaluations", "tolerance", "allow_partial"):
        if getattr(args, name) is not None:
            question[name] = getattr(args, name)
    if args.target:
        question["target"] = [_class(text) for text in args.target]
    if args.contrast:
        question["contrast"] = [_class(text) for text in args.contrast]
    if args.baseline is not None:
        several = [_baseline(text) for text in args.baseline]
        question["baseline"] = several if len(several) > 1 else several[0]
    if args.reference:
        question["references"] = _references(args.reference)
    return question


def _class(text: str) -> int | str:
    """Digits are an index; a label that is made of digits is written label:7."""
    return int(text) if text.isdecimal() else text.removeprefix("label:")


def _baseline(text: str) -> BaselineLike:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        name, _, images = text.partition("=")
        if images and name in WITH_IMAGES:
            return {name: [_file(path, "baseline") for path in images.split(",")]}
        return Path(text) if Path(text).is_file() else text


def _file(path: str, flag: str) -> Path:
    if not Path(path).is_file():
        raise InvalidRequest.of(flag, f"there is no file {path!r}")
    return Path(path)


def _references(texts: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """Each NAME=FILE; of a name all its vectors, from one file or several."""
    found: dict[str, list[np.ndarray]] = {}
    for text in texts:
        name, separator, path = text.partition("=")
        if not separator or not Path(path).is_file():
            raise InvalidRequest.of("reference", f"{text!r} is not NAME=FILE with a .npy file")
        found.setdefault(name, []).extend(np.atleast_2d(_array(path, "reference")))
    return found


def _array(path: str, flag: str) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        array = None
    if not isinstance(array, np.ndarray):
        raise InvalidRequest.of(flag, f"{path!r} is not a .npy file with an array of numbers")
    return array


def _metrics(texts: Sequence[str]) -> dict[str, dict[str, object]]:
    """Each NAME or NAME:KEY=VALUE,KEY=VALUE."""
    found: dict[str, dict[str, object]] = {}
    for text in texts:
        name, _, settings = text.partition(":")
        if name in found:
            raise InvalidRequest.of("metric", f"{name} is asked for twice; put all its settings into one, by commas")
        found[name] = dict(_setting(s, "metric") for s in settings.split(",") if s)
    return found


def _settings(method: str, texts: Sequence[str]) -> dict[str, object]:
    """Parameters of a method; those that are lists have commas between their names."""
    fields = METHODS[method].DESCRIPTOR.fields_by_name if method in METHODS else {}
    found: dict[str, object] = {}
    for text in texts:
        key, value = _setting(text, "set")
        many = key in fields and fields[key].message_type is None and fields[key].is_repeated
        found[key] = [name for name in text.partition("=")[2].split(",") if name] if many else value
    return found


def _setting(text: str, flag: str) -> tuple[str, object]:
    key, found, value = text.partition("=")
    if not found:
        raise InvalidRequest.of(flag, f"{text!r} is not NAME=VALUE")
    return key, _value(value, flag)


def _value(text: str, flag: str) -> object:
    """Numbers, true and false as JSON has them; @FILE is an array; anything else is a word."""
    if text.startswith("@"):
        return _array(str(_file(text[1:], flag)), flag)
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _parameters() -> str:
    return "; ".join(f"{name}: {', '.join(kind.DESCRIPTOR.fields_by_name)}" for name, kind in METHODS.items())
