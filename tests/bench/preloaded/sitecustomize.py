"""On PYTHONPATH of a process that measures: peers can be imported there too, see `peers.py`.

Nothing is imported before torchvision is.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from pathlib import Path


class _BeforeTorchvision(MetaPathFinder):
    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Finds nothing; declares what the import of torchvision needs."""
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            sys.path.append(str(Path(__file__).parents[2]))
            from peers import import_torchvision

            import_torchvision()


sys.meta_path.insert(0, _BeforeTorchvision())
