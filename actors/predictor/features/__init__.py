"""Features: scale-invariant measures of a window of closes, the same in training and in a run."""
