"""Diagnostics for programs: JSON, GitHub Actions and SARIF. Text for people is in `model.py`.

    as_json     [{"code": "unread", "severity": "error", "message": ..., "line": 5, ...}]
    as_github   ::error file=mine.yaml,line=5,col=3,endColumn=7,title=unread::nothing reads ...
    as_sarif    {"version": "2.1.0", "runs": [{"results": [{"ruleId": "unread", ...}], ...}]}

Lines and columns count from 1, columns in code points; the end of a span is exclusive.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from resnetgen._version import __version__
from resnetgen.compiler.diagnostics import catalog
from resnetgen.compiler.diagnostics.model import Diagnostic, Span, escape_invisible, note_text

Json = dict[str, object]

# --- JSON


def as_json(diagnostics: Iterable[Diagnostic]) -> list[Json]:
    """Diagnostics -> plain data, one map for each."""
    return [
        {
            "code": each.code,
            "severity": each.severity,
            "message": each.message,
            **_json_span(each.span),
            "notes": [{"text": note.text, **_json_span(note.span)} for note in each.notes],
            "help": each.help,
        }
        for each in diagnostics
    ]


def _json_span(span: Span | None) -> Json:
    if span is None:
        return {"file": None, "line": None, "column": None, "end": None}
    return {"file": span.file, "line": span.line, "column": span.column, "end": span.end}


# --- GitHub Actions


def as_github(diagnostics: Iterable[Diagnostic]) -> str:
    """Diagnostics -> workflow commands, one line for each.

    Source: GitHub Docs, "Workflow commands for GitHub Actions", setting an error message.
    """
    return "\n".join(map(_github_line, diagnostics))


def _github_line(diagnostic: Diagnostic) -> str:
    lines = [
        escape_invisible(diagnostic.message),
        *(f"note: {note_text(each)}" for each in diagnostic.notes),
    ]
    lines += [f"help: {escape_invisible(diagnostic.help)}"] if diagnostic.help else []
    position = _github_span(diagnostic.span) if diagnostic.span else ""
    title = _github_property(escape_invisible(diagnostic.code))
    text = _github_text("\n".join(lines))
    return f"::{diagnostic.severity} {position}title={title}::{text}"


def _github_span(span: Span) -> str:
    file = _github_property(escape_invisible(span.file))
    return f"file={file},line={span.line},col={span.column},endColumn={span.end},"


def _github_text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _github_property(text: str) -> str:
    return _github_text(text).replace(":", "%3A").replace(",", "%2C")


# --- SARIF

_SARIF_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def as_sarif(diagnostics: Iterable[Diagnostic]) -> Json:
    """Diagnostics -> the log of one run; its rules are the catalogue entries of their codes.

    Source: OASIS, Static Analysis Results Interchange Format 2.1.0, sections 3.14 (run),
    3.27 (result), 3.30 (region).
    """
    results = list(diagnostics)
    codes = sorted({each.code for each in results})
    driver = {
        "name": "resnetgen",
        "version": __version__,
        "rules": [_sarif_rule(catalog.entry(code)) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(each, codes.index(each.code)) for each in results],
    }
    return {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _sarif_rule(entry: catalog.CodeEntry) -> Json:
    return {
        "id": entry.code,
        "shortDescription": {"text": entry.title},
        "fullDescription": {"text": entry.explanation},
        "help": {"text": entry.as_text(), "markdown": entry.markdown},
        "defaultConfiguration": {"level": entry.severity},
    }


def _sarif_result(diagnostic: Diagnostic, rule_index: int) -> Json:
    """Notes with a span become related locations; other notes and the help, part of the message."""
    located = [(note.text, note.span) for note in diagnostic.notes if note.span]
    return {
        "ruleId": diagnostic.code,
        "ruleIndex": rule_index,
        "level": diagnostic.severity,
        "message": {"text": _sarif_message(diagnostic)},
        "locations": [_sarif_location(diagnostic.span)] if diagnostic.span else [],
        "relatedLocations": [
            {"id": number, **_sarif_location(span), "message": {"text": escape_invisible(text)}}
            for number, (text, span) in enumerate(located, 1)
        ],
    }


def _sarif_message(diagnostic: Diagnostic) -> str:
    bare = [note.text for note in diagnostic.notes if note.span is None]
    lines = [diagnostic.message, *(f"note: {text}" for text in bare)]
    lines += [f"help: {diagnostic.help}"] if diagnostic.help else []
    return "\n".join(map(escape_invisible, lines))


def _sarif_location(span: Span) -> Json:
    region = {"startLine": span.line, "startColumn": span.column, "endColumn": span.end}
    artifact = {"artifactLocation": {"uri": _uri(span.file)}, "region": region}
    return {"physicalLocation": artifact}


def _uri(file: str) -> str:
    """A relative path stays relative, so that a code host finds it in its checkout."""
    from urllib.parse import quote

    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(file, errors="surrogateescape")
