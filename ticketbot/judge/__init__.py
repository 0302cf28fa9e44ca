"""What may we believe of a model? numpy and the standard library only; `engine` alone loads onnxruntime."""
