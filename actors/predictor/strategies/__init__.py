"""Built-in strategies: short, scale-invariant, honest baselines to measure anything else against."""
