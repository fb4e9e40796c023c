"""What needs torch: loading printed modules, tracing, verifying and compiling them.

This package imports torch nowhere but in the modules below it, so that a command can ask for torch
with `require_torch()` and tell in one line that it is not installed.
"""

from __future__ import annotations


class RuntimeFault(Exception):
    """Something that a command needs is not there: `no-torch`, `no-device` or `no-compiler`."""

    def __init__(self, code: str, message: str, help: str | None = None) -> None:
        self.code = code
        self.message = message
        self.help = help
        super().__init__(message)


def require_torch() -> None:
    """Raises RuntimeFault `no-torch` where torch cannot be imported."""
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: one of its shared libraries
        raise RuntimeFault(
            "no-torch",
            f"torch cannot be imported: {error}",
            "install it with `pip install 'resnetgen[torch]'`",
        ) from error
