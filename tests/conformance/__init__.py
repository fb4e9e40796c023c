"""The library against torchvision and timm, imported live.

    python -m tests.conformance             all entries, one at a time; writes docs/conformance.md
    python -m tests.conformance resnet50d   only those; prints the table

`entries` says what is compared, `counts` compares on the meta device, `numerics` with weights,
`table` prints. `tests/test_conformance.py` runs the first for all entries, the second for some.
"""
