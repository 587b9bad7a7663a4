"""Sidelight: explanations beside a model served by NVIDIA Triton."""

__version__ = "0.1.0"
