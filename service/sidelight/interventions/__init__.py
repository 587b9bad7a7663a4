"""Gradual interventions: series of edits, what a model makes of them, and what can be said of that."""
