"""The sentiment of texts (negative, positive) for Triton's Python backend: tokenizer and MiniLM."""

from pathlib import Path

import numpy as np
from onnx_rows import Graph, answered
from tokenizers import Tokenizer

MAX_TOKENS = 512  # the network has no more positions; what a text has beyond them is cut off


class TritonPythonModel:
    def initialize(self, args: dict) -> None:
        self.graph = Graph(args)
        file = Path(args["model_repository"]) / args["model_version"] / "tokenizer.json"
        self.tokenizer = Tokenizer.from_file(str(file))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.enable_padding()  # to the longest of one run

    def execute(self, requests: list) -> list:
        """Answer the requests of one dynamic batch, UTF-8 text [n,1] -> logits [n,2] each."""
        return answered(requests, "text", lambda texts: self.graph.run(np.concatenate(texts)[:, 0], self.ids))

    def ids(self, texts: np.ndarray) -> np.ndarray:
        """The token ids [n,L] of texts [n]. Bytes that are no UTF-8 become replacement characters."""
        encodings = self.tokenizer.encode_batch([text.decode("utf-8", "replace") for text in texts])
        return np.array([encoding.ids for encoding in encodings], np.int64)
