"""Path attribution: parts of the methods that take gradients along a path from a baseline to the input."""
