"""The same spec gives the same bytes: under any hash seed, folder, locale and time zone.

Each surrounding is a process of its own that prints a digest of every module and report.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from fuzz.tally import Tally, share, watched
from fuzz.valid import spec

KIND = "determinism"
ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ("resnet152", "resnet1202", "googlenet", "r3d_18", "resnetrs50", "vgg19_bn")

_SOURCES = """
import hashlib, sys, time
from resnetgen import compile_spec
time.tzset()
for name in sys.argv[1:]:
    print(hashlib.sha256(compile_spec(name).source.encode()).hexdigest())
"""


def surroundings(hash_seeds: int) -> Mapping[str, Mapping[str, str]]:
    """Names of surroundings and what they change of the environment."""
    seeds = {f"hash seed {seed}": {"PYTHONHASHSEED": str(seed)} for seed in range(hash_seeds)}
    return seeds | {
        "another folder": {},
        "the C locale": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        "a Turkish locale": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
        "a time zone 14 hours ahead": {"TZ": "Etc/GMT-14"},
        "optimised bytecode": {"PYTHONOPTIMIZE": "2"},
    }


def digests(specs: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    """A digest of each module, then one of all reports, from processes in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for name, text in specs.items():
            Path(folder, f"{name}.yaml").write_text(text, encoding="utf-8")
        names = [*(f"{name}.yaml" for name in specs), *LIBRARY]
        sources = _printed(["-c", _SOURCES, *names], folder, environment)
        report = ["-m", "resnetgen", "report", *names, "--format", "json", "--by", "node"]
        reports = _printed(report, folder, environment)
    return [*sources.decode().split(), hashlib.sha256(reports).hexdigest()]


def _printed(arguments: Sequence[str], folder: str, environment: Mapping[str, str]) -> bytes:
    """What a process of Python prints. Raises CalledProcessError if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    call = [sys.executable, *arguments]
    return subprocess.run(
        call, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True
    ).stdout


def search(hash_seeds: int, count: int, seed: int) -> Tally:
    """The figures of `count` drawn specs and some of the library, in all surroundings."""
    tally = Tally("The same bytes")
    specs = {f"drawn{number}": spec(seed * 1_000_000 + number) for number in range(count)}
    wanted = digests(specs, {"PYTHONHASHSEED": "random"})
    places = surroundings(hash_seeds)
    equal = 0
    for name, environment in watched(places.items(), len(places), "determinism"):
        found = digests(specs, environment)
        equal += found == wanted
        if found != wanted:
            pairs = zip(specs, found, wanted, strict=False)
            differing = next((each for each, a, b in pairs if a != b), None)
            text = specs[differing].encode() if differing else b""
            tally.find(KIND, f"{name}: other bytes", text)
    others = [name for name in places if not name.startswith("hash seed")]
    tally.figures[f"equal under {hash_seeds} hash seeds, {', '.join(others)}"] = share(
        equal, len(places)
    )
    tally.figures["modules, and a report of each"] = f"{len(wanted) - 1:,}"
    return tally
