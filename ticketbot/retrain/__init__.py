"""Labels in, a better model out: is it due, what is learned from, the trainer child, the shelf of models."""
