"""Interchangeable parts of mask perturbation: segment, sample, smooth, replace, attribute."""
