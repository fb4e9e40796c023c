"""Forms as YAML text."""

from __future__ import annotations

from typing import Any

from generated.model import Form


def written(form: Form) -> str:
    """A form as YAML: block style for two levels, flow style below."""
    lines = []
    for key, value in form.items():
        if (
            isinstance(value, dict)
            and value
            and key in ("nodes", "stages", "define", "stem", "head", "init")
        ):
            lines.append(f"{key}:")
            lines += [f"  {_flow(name)}: {_flow(each)}" for name, each in value.items()]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    plain = (
        text and not set(text) & set(",:{}[]#&!|>'\"%@`") and text[0] not in "*-? "
    ) or text == "."
    return text if plain else f'"{text}"'
