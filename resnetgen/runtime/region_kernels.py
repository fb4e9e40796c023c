"""Kernels of many graphs, built side by side.

    with side_by_side(backward=True):
        ...    # compile graph after graph: the C++ compiler works beside Python
    # here all kernels are loaded

Inductor hands each kernel to a pool of threads, and then waits for those of the graph. Within
`side_by_side` the waiting is left to the end. That takes the place of a method of Inductor; where
there is none of that name, each graph waits for itself as ever.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch._functorch.config as autograd
from torch._inductor.async_compile import AsyncCompile


@contextmanager
def side_by_side(*, backward: bool) -> Iterator[None]:
    """Leaves waiting for kernels to the end; nothing that is compiled inside may be called inside.

    `backward` compiles the backward pass of a graph with its forward pass, instead of when it is
    first needed. Raises what the C++ compiler has against a kernel.
    """
    option = "force_non_lazy_backward_lowering"
    eager = (
        autograd.patch(option, True) if backward and hasattr(autograd, option) else nullcontext()
    )
    with eager, _waiting_last():
        yield


@contextmanager
def _waiting_last() -> Iterator[None]:
    """`AsyncCompile.wait` notes whose kernels are wanted; other threads wait as ever."""
    wait = getattr(AsyncCompile, "wait", None)
    if wait is None:
        yield
        return
    own, noted = threading.get_ident(), []

    def note(compiler: Any, scope: dict[str, Any]) -> None:
        if threading.get_ident() == own:
            noted.append((compiler, scope))
        else:
            wait(compiler, scope)

    AsyncCompile.wait = note  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        AsyncCompile.wait = wait  # type: ignore[method-assign]
    for compiler, scope in noted:
        wait(compiler, scope)
