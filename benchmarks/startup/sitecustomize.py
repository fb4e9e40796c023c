"""Python runs this at its start if this folder is on the path: torchvision can then be imported.

A torchvision whose compiled operators cannot be loaded fails on import (see tests/peers.py). This
declares them when torchvision is first imported, so that `resnetgen bench` can measure it anyway.
"""

import sys


class _OperatorDeclarer:
    """An import hook that finds nothing, and declares the operators before torchvision is found."""

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name == "torchvision":
            sys.meta_path.remove(self)
            from tests.peers import declare_operators

            declare_operators()


sys.meta_path.insert(0, _OperatorDeclarer())
