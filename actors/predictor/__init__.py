"""The predictor: runs strategies and models on closed bars, records what they predict and scores it later."""
