"""Variants of a network: other repeats, and what differs."""
