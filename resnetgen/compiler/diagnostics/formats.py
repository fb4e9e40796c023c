"""as_sarif(diagnostics) -> a log of SARIF 2.1.0, which code hosts and editors show at the lines.

    {"version": "2.1.0", "runs": [{"tool": ..., "results": [{"ruleId": "unread", ...}]}]}

The rules are the entries of the catalogue, those that the results name. Source: OASIS, Static
Analysis Results Interchange Format 2.1.0, sections 3.14 (run), 3.27 (result), 3.30 (region).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from resnetgen._version import __version__
from resnetgen.compiler.diagnostics import catalog
from resnetgen.compiler.diagnostics.model import Diagnostic, Note, Span, visible

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
Json = dict[str, object]


def as_sarif(diagnostics: Iterable[Diagnostic]) -> Json:
    """Diagnostics -> the log of one run, as plain data. Columns count code points."""
    found = list(diagnostics)
    codes = sorted({fault.code for fault in found})
    driver = {
        "name": "resnetgen",
        "version": __version__,
        "rules": [_rule(catalog.entry(code)) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(fault, codes.index(fault.code)) for fault in found],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(entry: catalog.CodeEntry) -> Json:
    return {
        "id": entry.code,
        "shortDescription": {"text": entry.title},
        "fullDescription": {"text": entry.explanation},
        "help": {"text": entry.as_text(), "markdown": entry.markdown},
        "defaultConfiguration": {"level": entry.severity},
    }


def _result(fault: Diagnostic, rule: int) -> Json:
    """The message has what has no place of its own: the bare notes and the help."""
    placed = [(note.text, note.span) for note in fault.notes if note.span]
    return {
        "ruleId": fault.code,
        "ruleIndex": rule,
        "level": fault.severity,
        "message": {"text": _message(fault)},
        "locations": [_location(fault.span)] if fault.span else [],
        "relatedLocations": [
            {"id": number, **_location(span), "message": {"text": visible(text)}}
            for number, (text, span) in enumerate(placed, 1)
        ],
    }


def _message(fault: Diagnostic) -> str:
    bare: list[Note] = [note for note in fault.notes if note.span is None]
    said = [fault.message, *(f"note: {note.text}" for note in bare)]
    said += [f"help: {fault.help}"] if fault.help else []
    return "\n".join(map(visible, said))


def _location(span: Span) -> Json:
    region = {"startLine": span.line, "startColumn": span.column, "endColumn": span.end}
    artifact = {"artifactLocation": {"uri": _uri(span.file)}, "region": region}
    return {"physicalLocation": artifact}


def _uri(file: str) -> str:
    """A relative path stays relative, so that a code host finds it in its checkout."""
    from urllib.parse import quote

    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(file, errors="surrogateescape")
