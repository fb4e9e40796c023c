"""Variants of a network: other depths, and what differs between two networks."""
