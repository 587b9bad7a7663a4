"""Choices of interventional methods."""

from enum import Enum


class Correction(Enum):
    """How p-values are corrected over the properties of a request."""

    HOLM = "holm"
    BENJAMINI_HOCHBERG = "benjamini_hochberg"
    NONE = "none"


class Dependence(Enum):
    """Further statistics of outputs against strengths."""

    PEARSON = "pearson"
    MUTUAL_INFORMATION = "mutual_information"
