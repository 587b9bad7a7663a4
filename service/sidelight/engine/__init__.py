"""The engine: batches rows of many requests, with bounded memory, fairness, cancellation and progress."""
