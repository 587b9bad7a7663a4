"""Fixtures of this folder."""

from triton_fixture import triton

__all__ = ["triton"]
