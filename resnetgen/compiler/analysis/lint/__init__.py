"""Warnings about networks that are valid but probably not what was meant."""
