"""The compiler: YAML to IR to facts and source. Nothing here imports torch."""
