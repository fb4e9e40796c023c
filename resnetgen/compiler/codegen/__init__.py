"""Code generation: from instances to the text of a PyTorch module."""
