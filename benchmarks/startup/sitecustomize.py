"""Run by Python at its start where this folder is on the path: torchvision can then be imported.

A torchvision whose compiled operators cannot be loaded fails on import (see tests/peers.py). This
declares them when it is first asked for, so that `resnetgen bench` can measure it all the same.
"""

import sys


class _Declares:
    """Finds nothing; what it does, it does once, before torchvision is found."""

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name == "torchvision":
            sys.meta_path.remove(self)
            from tests.peers import declare_operators

            declare_operators()


sys.meta_path.insert(0, _Declares())
