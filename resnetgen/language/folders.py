"""shipped("templates") -> the folder of that name, of the checkout or of the installed package.

What the package needs beside its code ships inside the wheel; in a checkout or an editable install
it lies beside the package.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_CHECKOUT = _PACKAGE.parent


def shipped(folder: str) -> Path:
    """The folder beside the package in a checkout, else the copy inside an installed package."""
    beside = _CHECKOUT / folder
    is_checkout = (_CHECKOUT / "pyproject.toml").is_file() and beside.is_dir()
    return beside if is_checkout else _PACKAGE / folder


TEMPLATES = shipped("templates")
