"""Checkpoints: read, matched with a network, converted, inferred and grown."""
