"""Something else at the layers of a torch module, what they give, and one row before them: by hooks that go again."""

import dataclasses
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn


class _FullPrecision:
    """Inside, CUDA multiplies and convolves in float32, not in TF32, whose 10 bits are no gradient's or cut's; then as
    before. The flags are the whole process's, and passes of several lanes overlap: the last one out puts them back.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._found = threading.Lock(), 0, (False, False)

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._found = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
                self._set(False, False)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._set(*self._found)

    def _set(self, convolutions: bool, products: bool) -> None:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolutions, products


_full_precision = _FullPrecision()


_known: WeakKeyDictionary[nn.Module, tuple[tuple[nn.Module, ...], tuple[nn.Parameter, ...]]] = WeakKeyDictionary()


def _parts(module: nn.Module) -> tuple[tuple[nn.Module, ...], tuple[nn.Parameter, ...]]:
    """What a module is made of, itself left out, and its parameters: to walk it takes a while for every small batch."""
    if module not in _known:
        _known[module] = tuple(m for m in module.modules() if m is not module), tuple(module.parameters())
    return _known[module]


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """The module in eval mode and float32 as it is, its parameters without gradients; all as found afterwards."""
    parts, parameters = _parts(module)
    training = [part for part in (module, *parts) if part.training]
    wanting = [p for p in parameters if p.requires_grad]
    try:
        for part in training:
            part.training = False
        for p in wanting:
            p.requires_grad_(False)
        with _full_precision:
            yield
    finally:
        for part in training:
            part.training = True
        for p in wanting:
            p.requires_grad_(True)


@contextmanager
def hooked(module: nn.Module, hooks: Mapping[str, Callable[[torch.Tensor], torch.Tensor | None]]) -> Iterator[None]:
    """Inside, each submodule named in `hooks` gives hook(its first tensor), where that is not None."""

    def attached(change: Callable[[torch.Tensor], torch.Tensor | None]) -> Callable[..., Any]:
        def hook(part: nn.Module, args: object, y: Any) -> Any:
            first = first_tensor(y)
            made = None if first is None else change(first)
            return None if made is None else _with_first(y, made)

        return hook

    with ExitStack() as attachments:
        for name, change in hooks.items():
            handle = module.get_submodule(name).register_forward_hook(attached(change))
            attachments.callback(handle.remove)
        yield


@contextmanager
def replaced(module: nn.Module, values: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Inside, each layer named in `values` gives its value. A copy of it, since the module may change it in place."""

    def giving(value: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda y: value.clone()

    with hooked(module, {name: giving(value) for name, value in values.items()}):
        yield


@contextmanager
def captured(module: nn.Module, names: Collection[str]) -> Iterator[dict[str, torch.Tensor]]:
    """A dictionary into which each layer's output is put while the module runs."""
    seen: dict[str, torch.Tensor] = {}

    def keeping(name: str) -> Callable[[torch.Tensor], None]:
        def keep(y: torch.Tensor) -> None:
            seen[name] = y.detach().clone()  # what comes next may change it in place

        return keep

    with hooked(module, {name: keeping(name) for name in names}):
        yield seen


def first_tensor(y: Any) -> torch.Tensor | None:
    """The tensor that stands for a module's output: itself, or the first element of a tuple or dataclass."""
    if isinstance(y, torch.Tensor):
        return y
    if isinstance(y, tuple | list):
        found = y[0] if y else None
    elif dataclasses.is_dataclass(y) and dataclasses.fields(y):
        found = getattr(y, dataclasses.fields(y)[0].name)
    else:
        found = None
    return found if isinstance(found, torch.Tensor) else None


def _with_first(y: Any, value: torch.Tensor) -> Any:
    if isinstance(y, torch.Tensor):
        return value
    if hasattr(y, "_replace"):  # a named tuple
        return y._replace(**{y._fields[0]: value})
    if isinstance(y, tuple | list):
        return type(y)([value, *y[1:]])
    return dataclasses.replace(y, **{dataclasses.fields(y)[0].name: value})


@contextmanager
def narrowed(module: nn.Module, names: Collection[str], alike: Collection[str], rows: int) -> Iterator[None]:
    """Inside, the submodules `names` run on the first of `rows` rows alone and show it again for the others.

    Right where no row of theirs reaches the output, or where all rows are the same. `alike`: submodules that do so only
    where they are given one row that is shown many times (a stride of 0).
    """

    shrunk: list[bool] = []  # of the calls under way, whether the module was given one row in place of many

    def begin(only_shown: bool) -> Callable[..., tuple[tuple, dict[str, Any]]]:
        def pre(part: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
            shrunk.append(False)

            def shrink(t: torch.Tensor) -> torch.Tensor:
                if t.dim() and len(t) == rows and (t.stride(0) == 0 or not only_shown):
                    shrunk[-1] = True
                    return t[:1]
                return t

            return _mapped(args, shrink), _mapped(kwargs, shrink)

        return pre

    def end(part: nn.Module, args: object, y: Any) -> Any:
        # What was given one row is inside another that was: it is shown many times where that one ends.
        if not shrunk.pop():
            return y
        return _mapped(y, lambda t: t.expand(rows, *t.shape[1:]) if t.dim() and len(t) == 1 else t)

    with ExitStack() as attachments:
        for name, only_shown in (*((name, False) for name in names), *((name, True) for name in alike)):
            if rows > 1:
                part = module.get_submodule(name)
                attachments.callback(part.register_forward_pre_hook(begin(only_shown), with_kwargs=True).remove)
                attachments.callback(part.register_forward_hook(end).remove)
        yield


def _mapped(y: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """`y` with each tensor in it changed, through tuples, lists, dictionaries and dataclasses."""
    if isinstance(y, torch.Tensor):
        return change(y)
    if hasattr(y, "_replace"):
        return type(y)(*(_mapped(part, change) for part in y))
    if isinstance(y, tuple | list):
        return type(y)([_mapped(part, change) for part in y])
    if dataclasses.is_dataclass(y) and not isinstance(y, type):
        fields = {f.name: _mapped(getattr(y, f.name), change) for f in dataclasses.fields(y)}
        return dataclasses.replace(y, **fields)
    if isinstance(y, dict):
        return {key: _mapped(part, change) for key, part in y.items()}
    return y
