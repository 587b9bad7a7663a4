"""Choices of interventional methods, and what their plan reads of the parameters."""

from enum import Enum
from typing import Protocol


class Correction(Enum):
    """How p-values are corrected over the properties of a request."""

    HOLM = "holm"
    BENJAMINI_HOCHBERG = "benjamini_hochberg"
    NONE = "none"


class Dependence(Enum):
    """Further statistics of outputs against strengths."""

    PEARSON = "pearson"
    MUTUAL_INFORMATION = "mutual_information"


class Settings(Protocol):
    """What the plan reads of the method's parameters."""

    @property
    def permutations(self) -> int:
        """K, of each test."""

    @property
    def correction(self) -> Correction:
        """Over the properties of a request."""

    @property
    def level(self) -> float:
        """Below which a corrected p-value is significant."""

    @property
    def dependence(self) -> tuple[Dependence, ...]:
        """Further statistics."""

    @property
    def with_original(self) -> bool:
        """Whether the unedited input stands in front of the series that is tested."""

    @property
    def adaptive(self) -> bool:
        """Whether only those strengths are asked that the response needs."""

    @property
    def frames(self) -> int:
        """How many are shown."""
