"""The staged training loop, its recipe, data and checkpoints."""
