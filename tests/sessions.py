"""Fenced blocks of a page, and the commands of `console` blocks: each after `$ `, then what it writes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from fuzz.program import call

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Fenced:
    """A fenced block of a page; `line` is the first of its text."""

    line: int
    language: str
    text: str


def fenced(page: str, *languages: str) -> list[Fenced]:
    """The fenced blocks of a page in some languages."""
    fence = re.compile(rf"^```({'|'.join(languages)})\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        Fenced(page.count("\n", 0, each.start(2)) + 1, each[1], each[2])
        for each in fence.finditer(page)
    ]


def commands(text: str) -> list[str]:
    """The commands of a `console` block; one that ends in a backslash goes on in the next line."""
    found: list[str] = []
    for line in text.splitlines():
        if found and found[-1].endswith("\\"):
            found[-1] += f"\n{line}"
        elif line.startswith("$ "):
            found.append(line[2:])
    return found


def environment() -> dict[str, str]:
    """That of a command: it finds the package of this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "RESNETGEN": f"{sys.executable} -m resnetgen"}


ALONE = re.compile(r"resnetgen [^<>|;&$*\\\n]*")  # a command that needs no shell


def run(command: str, folder: Path) -> tuple[str, int]:
    """What a command writes, errors too, and its exit status; `resnetgen` is that of this checkout.

    It runs in this process, which need not start nor import torch for each, or in a shell.
    """
    if not ALONE.fullmatch(command):
        return in_shell(command, folder)
    with chdir(folder):
        ended = call(*shlex.split(command)[1:], merged=True)
    return ended.out.strip("\n"), ended.status


def in_shell(command: str, folder: Path) -> tuple[str, int]:
    """The same by bash."""
    done = subprocess.run(
        ["bash", "-c", 'resnetgen() { $RESNETGEN "$@"; }\n' + command],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.strip("\n"), done.returncode


def session(text: str, folder: Path) -> str:
    """The commands of a `console` block, each with what it writes now."""
    lines: list[str] = []
    for command in commands(text):
        lines += [f"$ {command}", *run(command, folder)[0].splitlines()]
    return "".join(f"{line}\n" for line in lines)
