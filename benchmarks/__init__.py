"""Measures every figure of docs/performance.md, and writes the page's tables from what was measured.

    python -m benchmarks                    all measurements, each into results/NAME.json; the page
    python -m benchmarks regions sweep      those of two sections; --list names them all
    python -m benchmarks --page             the page again, from the stored results

A module here is a section of the page: what it measures, in processes of their own, and the tables
that it makes of the raw figures. Both sides of a comparison run in turn.
"""
