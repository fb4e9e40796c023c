"""Files that ship with the package: the library of specs, the templates, the support classes.

They are beside the package in a checkout or an editable install, and inside it in a wheel. This is a
module of its own because templates are filled without PyYAML, which `library.py` imports.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]
_CHECKOUT = _PACKAGE.parent


def shipped_folder(name: str) -> Path:
    """The folder of this name, of the checkout if this is one, else of the installed package."""
    beside = _CHECKOUT / name
    is_checkout = (_CHECKOUT / "pyproject.toml").is_file() and beside.is_dir()
    return beside if is_checkout else _PACKAGE / name


TEMPLATES = shipped_folder("templates")
SUPPORT = _PACKAGE / "runtime" / "support.py"  # read as text by the compiler, which has no torch
