"""Several wrong fields, told in one answer."""

from collections.abc import Iterator
from contextlib import contextmanager

from sidelight.core.errors import InvalidRequest


class InvalidFields(InvalidRequest):
    """Fields that will not do, each with what would."""

    def __init__(self, found: tuple[InvalidRequest, ...]) -> None:
        super().__init__(found[0].field, found[0].mend)
        self.args = ("; ".join(str(f) for f in found),)
        self.found = found


class Violations:
    """Gathers what is wrong with a request, so that a caller need not find it out one by one."""

    def __init__(self) -> None:
        self._found: list[InvalidRequest] = []

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Note an InvalidRequest raised inside, and go on after the block."""
        try:
            yield
        except InvalidRequest as error:
            self._found.extend(error.found if isinstance(error, InvalidFields) else [error])

    def add(self, field: str, mend: str) -> None:
        """Note one."""
        self._found.append(InvalidRequest(field, mend))

    def settle(self) -> None:
        """Raise what was noted, if anything was."""
        if self._found:
            raise InvalidFields(tuple(self._found))
