"""Statistics of a run: pure functions of numpy arrays, each with a definition one can look up."""
