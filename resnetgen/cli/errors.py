"""Exceptions -> diagnostics and exit statuses: the one place where a command ends badly.

0  fine
1  the spec is wrong, or weights do not fit it
2  the call is wrong, a file cannot be read or written, or something needed is not installed
3  a prediction of the compiler did not hold, or the compiler itself is at fault
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import typer
from typer.core import TyperCommand

from resnetgen._version import __version__
from resnetgen.compiler.diagnostics.model import Diagnostic, SpecError, render, visible

WRONG_SPEC, WRONG_CALL, BROKEN = 1, 2, 3
INTERRUPTED = 130
PIPE_CLOSED = 141  # as a program that SIGPIPE ends


class Failed(Exception):
    """Diagnostics that are ready to be shown, and the exit status."""

    def __init__(self, diagnostics: Sequence[Diagnostic], status: int) -> None:
        self.diagnostics = tuple(diagnostics)
        self.status = status
        super().__init__(status)


class Command(TyperCommand):
    """A command whose exceptions become diagnostics on stderr and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command. Raises typer.Exit where it fails."""
        try:
            result = super().invoke(ctx)
            if sys.stdout:
                sys.stdout.flush()
            return result
        except (typer.Exit, typer.BadParameter):
            raise
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            raise typer.Exit(report(error)) from None


def run_quietly(run: Callable[[], object]) -> int:
    """The exit status of the program: also where it fails outside of a command."""
    status = 0
    try:
        run()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception as error:
        status = report(error)
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError as error:
        status = status or report(error)
    return status


def report(error: Exception) -> int:
    """Shows an exception on stderr and gives the exit status."""
    if isinstance(error, BrokenPipeError):
        _forget_stdout()
        return PIPE_CLOSED
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        _forget_stdout()
    diagnostics, status = diagnose(error)
    show(diagnostics)
    point_to_explain(diagnostics)
    return status


def _forget_stdout() -> None:
    """What is left in the buffer of a closed pipe or a full disk would fail again at exit."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(diagnostics: Sequence[Diagnostic]) -> None:
    """Diagnostics on stderr, in colour on a terminal."""
    if diagnostics:
        if sys.stdout:
            sys.stdout.flush()  # what was said before stands before
        print(render(diagnostics, color=wants_color(sys.stderr)), file=sys.stderr)


def identity(fault: Diagnostic) -> object:
    """What two faults that are one have alike, whichever specs they were found in."""
    return fault.code, fault.message, str(fault.span)


def point_to_explain(diagnostics: Iterable[Diagnostic]) -> None:
    """A line below them that names `explain`; on a terminal only, so that logs stay as they are."""
    codes = list(dict.fromkeys(each.code for each in diagnostics))
    if codes and sys.stderr is not None and sys.stderr.isatty():
        about = f"explain {codes[0]}` says more"
        if len(codes) > 1:
            about = f"explain CODE` says more about {', '.join(codes)}"
        dim, plain = ("\x1b[2m", "\x1b[0m") if wants_color(sys.stderr) else ("", "")
        print(f"\n{dim}`resnetgen {about}{plain}", file=sys.stderr)


def wants_color(stream: IO[str] | None) -> bool:
    """Whether colours help there: a terminal, and nobody said NO_COLOR (https://no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and stream is not None and stream.isatty()


def diagnose(error: Exception) -> tuple[Sequence[Diagnostic], int]:
    """What an exception says to the person, and the exit status."""
    if isinstance(error, Failed):
        return error.diagnostics, error.status
    if isinstance(error, SpecError):
        return error.diagnostics, WRONG_CALL if _all_from_the_call(error) else WRONG_SPEC
    if isinstance(error, OSError):
        return [_unreadable(error)], WRONG_CALL
    from resnetgen.compiler.codegen.allowlist import UnsafeOutput
    from resnetgen.compiler.codegen.files import WriteError
    from resnetgen.compiler.passes.flatten import BrokenGraph
    from resnetgen.runtime.errors import RuntimeFault
    from resnetgen.weights.errors import Misfit, WeightsError

    help = "this is a defect of resnetgen; please report it with the spec"
    if isinstance(error, BrokenGraph):
        return [Diagnostic("broken-graph", str(error), help=help)], BROKEN
    if isinstance(error, UnsafeOutput):
        return [Diagnostic("broken-print", str(error), help=help)], BROKEN
    if isinstance(error, WriteError):
        return [error.diagnostic], WRONG_CALL
    if isinstance(error, WeightsError):
        return [error.diagnostic], WRONG_SPEC if isinstance(error, Misfit) else WRONG_CALL
    if isinstance(error, RuntimeFault):
        return [Diagnostic(error.code, error.message, help=error.help)], WRONG_CALL
    return [_internal(error)], BROKEN


def _all_from_the_call(error: SpecError) -> bool:
    """Whether each fault lies in what an option said, such as `--set`."""
    spans = [fault.span for fault in error.diagnostics]
    return bool(spans) and all(span and span.file.startswith("--") for span in spans)


def _unreadable(error: OSError) -> Diagnostic:
    if error.errno is None:  # of library.locate_network: no such file, no such network
        message, separator, hint = str(error).rpartition("; did you mean ")
        help = f"did you mean {hint}" if separator else None
        return Diagnostic("unknown-spec", message or hint, help=help)
    reason = error.strerror or str(error)
    if not isinstance(error.filename, str):
        return Diagnostic("input-output", f"reading or writing failed: {reason}")
    from resnetgen.compiler.frontend import library

    path = Path(error.filename)
    known = any(each.stem == path.stem for each in library.network_files())
    help = f"`{path.stem}` alone is a network of the library" if known else None
    return Diagnostic("unreadable", f"cannot read `{library.display_path(path)}`: {reason}", help=help)


def _internal(error: Exception) -> Diagnostic:
    if os.environ.get("RESNETGEN_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    what = visible(f"{type(error).__name__}: {error}".partition("\n")[0][:200])
    help = (
        f"please report it with the spec and resnetgen {__version__}; RESNETGEN_DEBUG=1 shows where"
    )
    return Diagnostic("internal", f"internal error: {what}", help=help)
