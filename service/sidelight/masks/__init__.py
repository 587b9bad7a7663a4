"""Mask optimisation: what to keep of an input, found by minimising an objective over masks (Brinner & Zarriess)."""
