"""Measures every figure of docs/performance.md, and writes the tables of that page.

    python -m benchmarks                    all measurements, each into results/NAME.json; the page
    python -m benchmarks regions sweep      those of two sections; --list names them all
    python -m benchmarks --page             only writes the page, from the stored results

Most modules here are a section of the page: they measure raw figures, in processes of their own, and
render them as tables. Both sides of a comparison run in turn.
"""
