"""Exceptions -> diagnostics and exit statuses.

    diagnose(SpecError(...))  ->  its diagnostics, 1

0  success
1  the spec is wrong, or weights do not fit it
2  the command line is wrong, a file cannot be read or written, or a requirement is not installed
3  a prediction of the compiler is wrong, or the compiler has another bug

No command shows a traceback; with RESNETGEN_DEBUG=1 an internal error does.
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
from resnetgen.compiler.diagnostics.model import Diagnostic, SpecError, escape_invisible, render
from resnetgen.compiler.frontend.input_file import recorded_inputs

SPEC_ERROR, USAGE_ERROR, COMPILER_ERROR = 1, 2, 3
INTERRUPTED = 130
PIPE_CLOSED = 141  # as for a program that SIGPIPE ends


class Failed(Exception):
    """Ends a command: the diagnostics to show, and the exit status."""

    def __init__(self, diagnostics: Sequence[Diagnostic], status: int) -> None:
        self.diagnostics = tuple(diagnostics)
        self.status = status
        super().__init__(status)


class Command(TyperCommand):
    """A command whose exceptions become diagnostics on stderr and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command. Raises typer.Exit if it fails."""
        try:
            with recorded_inputs():
                result = super().invoke(ctx)
            if sys.stdout:
                sys.stdout.flush()
            return result
        except (typer.Exit, typer.BadParameter):
            raise
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            raise typer.Exit(report_error(error)) from None


def run_program(run: Callable[[], object]) -> int:
    """Runs the program and returns its exit status, whatever fails, inside a command or not."""
    status = 0
    try:
        run()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception as error:
        status = report_error(error)
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError as error:
        status = status or report_error(error)
    return status


def report_error(error: Exception) -> int:
    """Shows an exception on stderr and returns the exit status."""
    if isinstance(error, BrokenPipeError):
        _discard_stdout()
        return PIPE_CLOSED
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        _discard_stdout()
    diagnostics, status = diagnose(error)
    show_diagnostics(diagnostics)
    suggest_explain(diagnostics)
    return status


def _discard_stdout() -> None:
    """Drops what is buffered for a closed pipe or a full disk: flushing it would fail again."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    """Prints diagnostics to stderr, in colour on a terminal."""
    if diagnostics:
        if sys.stdout:
            sys.stdout.flush()  # keeps the order of what is printed
        print(render(diagnostics, color=wants_color(sys.stderr)), file=sys.stderr)


def dedup_key(diagnostic: Diagnostic) -> object:
    """Equal for the same error or warning, reached from different specs."""
    return diagnostic.code, diagnostic.message, str(diagnostic.span)


def suggest_explain(diagnostics: Iterable[Diagnostic]) -> None:
    """Points to `resnetgen explain` below diagnostics; on a terminal only, to keep logs clean."""
    codes = list(dict.fromkeys(each.code for each in diagnostics))
    if codes and sys.stderr is not None and sys.stderr.isatty():
        one = len(codes) == 1
        about, code = ("", codes[0]) if one else (f" about {', '.join(codes)}", "CODE")
        text = f"for more information{about}, try `resnetgen explain {code}`"
        dim, plain = ("\x1b[2m", "\x1b[0m") if wants_color(sys.stderr) else ("", "")
        print(f"\n{dim}{text}{plain}", file=sys.stderr)


def wants_color(stream: IO[str] | None) -> bool:
    """Whether to print in colour: on a terminal, without NO_COLOR (https://no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and stream is not None and stream.isatty()


def diagnose(error: Exception) -> tuple[Sequence[Diagnostic], int]:
    """The diagnostics that describe an exception, and the exit status."""
    if isinstance(error, Failed):
        return error.diagnostics, error.status
    if isinstance(error, SpecError):
        return error.diagnostics, USAGE_ERROR if _only_in_options(error) else SPEC_ERROR
    if isinstance(error, OSError):
        return [_unreadable(error)], USAGE_ERROR
    from resnetgen.compiler.codegen.allowlist import UnsafeOutput
    from resnetgen.compiler.codegen.files import WriteError
    from resnetgen.compiler.passes.flatten import InvalidGraph
    from resnetgen.runtime.errors import MissingRequirement
    from resnetgen.weights.errors import WeightsError, WeightsMismatch

    help = "this is a bug in resnetgen; please report it with the spec"
    if isinstance(error, InvalidGraph):
        return [Diagnostic("broken-graph", str(error), help=help)], COMPILER_ERROR
    if isinstance(error, UnsafeOutput):
        return [Diagnostic("broken-print", str(error), help=help)], COMPILER_ERROR
    if isinstance(error, WriteError):
        return [error.diagnostic], USAGE_ERROR
    if isinstance(error, WeightsError):
        return [error.diagnostic], SPEC_ERROR if isinstance(error, WeightsMismatch) else USAGE_ERROR
    if isinstance(error, MissingRequirement):
        return [Diagnostic(error.code, error.message, help=error.help)], USAGE_ERROR
    return [_internal(error)], COMPILER_ERROR


def _only_in_options(error: SpecError) -> bool:
    """Whether every error is in the value of an option, such as `--set`."""
    spans = [each.span for each in error.diagnostics]
    return bool(spans) and all(span and span.file.startswith("--") for span in spans)


def _unreadable(error: OSError) -> Diagnostic:
    if error.errno is None:  # from library.locate_network: neither a file nor a network
        message, separator, hint = str(error).rpartition("; did you mean ")
        help = f"did you mean {hint}" if separator else None
        return Diagnostic("unknown-spec", message or hint, help=help)
    reason = error.strerror or str(error)
    if not isinstance(error.filename, str):
        return Diagnostic("input-output", f"reading or writing failed: {reason}")
    from resnetgen.compiler.frontend import library

    path = Path(error.filename)
    known = any(each.stem == path.stem for each in library.network_files())
    help = f"for the library network, use `{path.stem}`" if known else None
    return Diagnostic(
        "unreadable", f"cannot read `{library.display_path(path)}`: {reason}", help=help
    )


def _internal(error: Exception) -> Diagnostic:
    if os.environ.get("RESNETGEN_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    what = escape_invisible(f"{type(error).__name__}: {error}".partition("\n")[0][:200])
    help = (
        f"please report it with the spec and resnetgen {__version__};"
        " RESNETGEN_DEBUG=1 shows the traceback"
    )
    return Diagnostic("internal", f"internal error: {what}", help=help)
