"""The editors on offer: which can be asked now, and why the others cannot; and the frames that they have made."""

import threading
from dataclasses import dataclass, field

from sidelight.core import editor, registry
from sidelight.core.editor import Editor
from sidelight.core.errors import InvalidRequest, Unavailable, Unknown, Unsupported
from sidelight.core.sequence import Store

AGAIN = 10.0  # seconds after which a caller may ask once more for an editor that is being made
NONE = "none is configured: a table [[editors]] names its kind and where its weights come from"


@dataclass(frozen=True)
class EditorState:
    """An editor at this moment, or a kind of which there is none (its `name` is the kind's)."""

    name: str
    kind: str
    editor: Editor | None = None  # once it is made
    reason: str = "starting: it is being made"  # why there is none
    given_up: bool = False  # whether it is not tried again


@dataclass
class Studio:
    """Thread-safe."""

    store: Store
    _states: dict[str, EditorState] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, name: str, kind: str, made: Editor | None = None, reason: str = "", given_up: bool = False) -> None:
        """Change what is known of an editor: it is made, or why it is not."""
        reason = "" if made else reason or EditorState.reason
        with self._lock:
            self._states[name] = EditorState(name, kind, made, reason, given_up)

    def states(self) -> tuple[EditorState, ...]:
        """All editors in the order of their kinds, and the kinds of which there is none with the reason."""
        with self._lock:
            states = tuple(self._states.values())
        kinds, absent = editor.kinds(), registry.absent("editors")
        found: list[EditorState] = []
        for kind in kinds:
            found += [s for s in states if s.kind == kind] or [EditorState(kind, kind, None, NONE, True)]
        found += [s for s in states if s.kind not in kinds]
        named = {s.kind for s in found}
        return (*found, *(EditorState(k, k, None, why, True) for k, why in absent.items() if k not in named))

    def find(self, kind: str, name: str = "") -> Editor:
        """The editor `name` of a kind; without a name the only one of it.

        Raises Unknown, Unsupported or Unavailable with the reason, or InvalidRequest of `editor` where it has to be
        named: the field below the editor's own message.
        """
        state = self._state(kind, name)
        if state.editor is not None:
            return state.editor
        if state.given_up:
            raise Unsupported("EDITOR_UNAVAILABLE", state.name, f"editor {state.name} is not available: {state.reason}")
        raise Unavailable(f"editor {state.name} is not ready: {state.reason}", retry_after=AGAIN)

    def _state(self, kind: str, name: str) -> EditorState:
        with self._lock:
            states = {s.name: s for s in self._states.values() if s.kind == kind}
        absent = registry.absent("editors")
        if kind not in editor.kinds() and kind not in absent:
            raise Unknown("kind of editor", kind, [*editor.kinds(), *absent])
        if name in states:
            return states[name]
        if name and states:
            raise Unknown("editor", name, states)
        if len(states) > 1:
            raise InvalidRequest("editor", f"has to be named: there is {', '.join(states)}")
        return next(iter(states.values()), EditorState(name or kind, kind, None, absent.get(kind, NONE), True))
