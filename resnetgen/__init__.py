"""resnetgen: YAML declares a residual network; this compiles it to PyTorch source and exact costs."""

__version__ = "0.1.0"
