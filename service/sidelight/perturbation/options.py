"""The choices of the perturbation family, by the names that the protocol has for them. AUTO is what is left unset."""

from enum import Enum


class Segmentation(Enum):
    """How an input is cut into units."""

    AUTO = "auto"
    GRID = "grid"
    SLIC = "slic"
    FELZENSZWALB = "felzenszwalb"
    QUICKSHIFT = "quickshift"
    WATERSHED = "watershed"
    LABELS = "labels"
    WORD = "word"
    SENTENCE = "sentence"
    TOKEN = "token"


class Smoothing(Enum):
    """How the edges of kept units are softened."""

    AUTO = "auto"
    NONE = "none"
    BILINEAR = "bilinear"
    GAUSSIAN = "gaussian"
    RANDOM_SHIFT = "random_shift"


class Sampler(Enum):
    """Which units each row keeps."""

    BERNOULLI = "bernoulli"
    ONE_OFF = "one_off"
    ONE_ON = "one_on"
    COALITIONS = "coalitions"
    RATE = "rate"
    ANTITHETIC = "antithetic"
    KERNEL_PAIRS = "kernel_pairs"
    ORTHOGONAL = "orthogonal"
    SOBOL_PAIRS = "sobol_pairs"
    SPACE_FILLING = "space_filling"


class Calculator(Enum):
    """How rows and outputs become a score for each unit."""

    RISE = "rise"
    LIME = "lime"
    SHAP = "shap"
    PDA = "pda"
    PDA_INFORMATION = "pda_information"
    PDA_EVIDENCE = "pda_evidence"
    CIU = "ciu"
    INVERSE_CIU = "inverse_ciu"
    SOBOL = "sobol"
    HSIC = "hsic"


class MapType(Enum):
    """How scores become a map."""

    PER_PIXEL = "per_pixel"
    PER_SEGMENT = "per_segment"


class PdaForm(Enum):
    """Forms of prediction difference analysis."""

    DIFFERENCE = "difference"
    INFORMATION = "information"
    EVIDENCE = "evidence"
