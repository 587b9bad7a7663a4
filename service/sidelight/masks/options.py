"""The choices of mask optimisation, and the paper's settings of them by name.

    lambda_j = sigmoid( sum_i w_i k(i, j; sigma_i) )                                 free: w_i, sigma_i of each cell
    minimise   -log p - log(1 - q)  +  a_size (mean lambda)^2  -  a_sigma mean(log sigma)  +  a_TV TV(lambda)

p on the kept part x~ = lambda x + (1 - lambda) b, q on its complement (Brinner & Zarriess, arXiv 2508.11388, eqs. 2-6;
settings as the authors' code has them). A cell is a pixel or a square of pixels, or a word.
"""

from dataclasses import dataclass
from enum import Enum

from sidelight.core.baseline import Baseline, Blur, Constant, ModelMean
from sidelight.core.evidence import Evidence


class Preset(Enum):
    """The paper's settings."""

    AUTO = "auto"  # image_cnn or text, by what the model takes
    IMAGE_CNN = "image_cnn"
    IMAGE_VIT = "image_vit"
    TEXT = "text"


class Comprehensiveness(Enum):
    """What is asked of the complement."""

    LOG_COMPLEMENT = "log_complement"  # -log(1 - q), the authors' code
    # +log q, equation 4. It has no least: where q is nothing already, less of it still pays, so weigh the size more. Of
    # evidence `mixed`, and of models that serve probabilities, q is squeezed and log 5e-6 the least.
    LOG_RATIO = "log_ratio"


class Kernel(Enum):
    """How far the w of a cell reaches."""

    SIGMA = "sigma"  # exp(-d^2 / sigma), equation 6
    SIGMA_SQUARED = "sigma_squared"  # exp(-(d / sigma)^2), the authors' code for text


class Optimiser(Enum):
    """Adam, with or without decoupled weight decay (torch's default, .01)."""

    ADAM = "adam"
    ADAMW = "adamw"


class Rule(Enum):
    """When the mask has settled."""

    DECREASE = "decrease"  # the smoothed decrease of mean lambda a step is below `settled`, and mean lambda < .5
    PERIODIC = "periodic"  # mean lambda has moved by less than `settled` since the last look
    NEVER = "never"  # all steps


@dataclass(frozen=True)
class Options:
    """What is asked of one optimisation."""

    evidence: Evidence
    comprehensiveness: Comprehensiveness
    kernel: Kernel
    size_weight: float  # a_size
    sigma_weight: float  # a_sigma
    variation_weight: float  # a_TV; of images
    w: float  # at the start
    sigma: float  # at the start, in pixels of the model's input (of a kernel `sigma` their square) or in words
    sigma_low: float
    sigma_high: float
    optimiser: Optimiser
    rate: float  # of learning
    steps: int  # at most
    rule: Rule
    least_steps: int  # before `rule` may stop it
    every: int  # steps between two looks of the rule `periodic`
    settled: float
    snap: float  # share of cells set to 0, and as many to 1, in each step (text)
    noise: float  # standard deviation, on embeddings, in each step (text)
    cell: int = 1  # side of a cell, in pixels
    span_threshold: float | None = None  # of rationales: runs of words with so large a mask; at most one of the three
    span_share: float | None = None  # so large a share of all words
    span_count: int | None = None  # at most so many runs


BLACK, WHITE = Constant((0.0,)), Constant((255.0,))

# sigma_high of images: the kernel has fallen to 1/e at 20 pixels, the reach of the authors' window of 41 x 41.
IMAGE_CNN = Options(
    evidence=Evidence.MIXED, comprehensiveness=Comprehensiveness.LOG_COMPLEMENT, kernel=Kernel.SIGMA,
    size_weight=0.6, sigma_weight=1.2, variation_weight=10.0, w=0.5, sigma=1.2, sigma_low=0.6, sigma_high=400.0,
    optimiser=Optimiser.ADAM, rate=0.03, steps=7500, rule=Rule.DECREASE, least_steps=250, every=1, settled=2e-4,
    snap=0.0, noise=0.0,
)  # fmt: skip
IMAGE_VIT = Options(**{**vars(IMAGE_CNN), "size_weight": 0.25, "evidence": Evidence.SOFTMAX})
TEXT = Options(
    evidence=Evidence.SOFTMAX, comprehensiveness=Comprehensiveness.LOG_COMPLEMENT, kernel=Kernel.SIGMA_SQUARED,
    size_weight=1.0, sigma_weight=1.2, variation_weight=0.0, w=1.2, sigma=2.0, sigma_low=0.5, sigma_high=20.0,
    optimiser=Optimiser.ADAMW, rate=0.03, steps=900, rule=Rule.PERIODIC, least_steps=50, every=50, settled=1e-2,
    snap=0.05, noise=0.03,
)  # fmt: skip

PRESETS = {Preset.IMAGE_CNN: IMAGE_CNN, Preset.IMAGE_VIT: IMAGE_VIT, Preset.TEXT: TEXT}
BASELINES: dict[Preset, tuple[Baseline, ...]] = {  # of a request that names none; a text's is its blank token
    Preset.IMAGE_CNN: (BLACK, WHITE, ModelMean()),
    Preset.IMAGE_VIT: (Blur(20.0),),
    Preset.TEXT: (),
}
