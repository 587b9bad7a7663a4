"""The vocabulary: asks, sweeps, folds, plans, inputs, targets. Torch and numpy only: no sockets, threads or clock."""
