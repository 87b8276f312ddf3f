"""Models: ONNX files with a manifest that says what they were trained on and how little they know."""
