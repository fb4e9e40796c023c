"""Analyses of typed instances: rows of a report, receptive fields, memory, warnings."""
