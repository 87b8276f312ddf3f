"""Inference pools: the only modules of the predictor that know onnxruntime."""
