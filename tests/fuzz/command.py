"""The command: `python -m tests.fuzz`. Progress on stderr, the figures on stdout as Markdown.

python -m tests.fuzz                                     # everything at full size, hours
python -m tests.fuzz --only malformed --malformed 2000   # a share of one kind, minutes
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fuzz.tally import REPLAYED, Tally, as_data, markdown

KINDS = (
    "valid",
    "malformed",
    "mutants",
    "inject",
    "kills",
    "determinism",
    "plans",
    "outputs",
    "checkpoints",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the kinds that were asked for; 1 if anything was found."""
    options = _parser().parse_args(arguments)
    gc.freeze()  # children share what the parent has loaded
    tallies: list[Tally] = []
    for tally in _tallies(options):
        tallies.append(tally)
        _write(tallies, options.json)
    print(markdown(tallies), end="")
    if options.save:
        found = [find for tally in tallies for find in tally.finds]
        for find in found:
            if find.kind in REPLAYED and find.text:
                print(f"wrote {find.save()}", file=sys.stderr)
    return int(any(tally.finds for tally in tallies))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    number = {"type": int, "metavar": "N"}
    parser.add_argument("--valid", default=10_000, help="valid specs that are compiled", **number)
    parser.add_argument("--torch", default=2_000, help="of them, held against torch", **number)
    parser.add_argument("--run", default=200, help="of them, run beside the interpreter", **number)
    parser.add_argument("--malformed", default=50_000, help="malformed inputs", **number)
    parser.add_argument("--mutants", default=1_000, help="mutants with one fault", **number)
    parser.add_argument("--inject", default=200, help="payloads in every field", **number)
    parser.add_argument("--kills", default=200, help="kills of every command that writes", **number)
    parser.add_argument("--plans", default=10_000, help="hostile plans", **number)
    parser.add_argument("--outputs", default=2_000, help="calls with hostile paths", **number)
    parser.add_argument("--checkpoints", default=5_000, help="hostile checkpoints", **number)
    parser.add_argument("--hash-seeds", default=20, help="hash seeds", **number)
    parser.add_argument("--seconds", type=float, metavar="S", help="processor time for a malformed input or checkpoint (2 by default) or a plan (1)")  # fmt: skip
    parser.add_argument("--seed", default=0, help="of all that is drawn", **number)
    parser.add_argument("--jobs", default=2, help="children at a time", **number)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="only these kinds")
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="go on with other seeds for M minutes"
    )
    parser.add_argument("--save", action="store_true", help="write finds to tests/regressions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--misses", type=Path, metavar="FILE", help="write what is told wrongly of mutants there")  # fmt: skip
    return parser


def _tallies(options: argparse.Namespace) -> Iterator[Tally]:
    """The figures of one round after the other, until the time is up."""
    end = time.monotonic() + 60 * (options.minutes or 0)
    seed = options.seed
    while True:
        for kind in options.only:
            yield _SEARCHES[kind](options, seed)
            if options.minutes and time.monotonic() > end:
                return
        if not options.minutes:
            return
        seed += 1


def _valid(options: argparse.Namespace, seed: int) -> Tally:
    from fuzz import valid

    return valid.search(options.valid, options.torch, options.run, seed, options.jobs)


def _malformed(options: argparse.Namespace, seed: int) -> Tally:
    from fuzz import malformed

    return malformed.search(options.malformed, seed, options.jobs, options.seconds or 2)


def _mutants(options: argparse.Namespace, seed: int) -> Tally:
    from fuzz import mutants

    tally, misses = mutants.search(options.mutants, seed, options.jobs)
    if options.misses:
        options.misses.write_text(misses, encoding="utf-8")
    return tally


def _inject(options: argparse.Namespace, seed: int) -> Tally:
    from fuzz import payloads

    return payloads.search(options.inject, seed, options.jobs)


def _kills(options: argparse.Namespace, seed: int) -> Tally:
    from fuzz import kills

    return kills.search(options.kills, seed)


def _determinism(options: argparse.Namespace, seed: int) -> Tally:
    from fuzz import determinism

    return determinism.search(options.hash_seeds, 30, seed)


def _plans(options: argparse.Namespace, seed: int) -> Tally:
    from fuzz import plans

    return plans.search(options.plans, seed, options.jobs, options.seconds or 1)


def _outputs(options: argparse.Namespace, seed: int) -> Tally:
    from fuzz import outputs

    return outputs.search(options.outputs, seed, options.jobs)


def _checkpoints(options: argparse.Namespace, seed: int) -> Tally:
    from fuzz import checkpoints

    return checkpoints.search(options.checkpoints, seed, options.jobs, options.seconds or 2)


_SEARCHES: dict[str, Callable[[argparse.Namespace, int], Tally]] = {
    "valid": _valid,
    "malformed": _malformed,
    "mutants": _mutants,
    "inject": _inject,
    "kills": _kills,
    "determinism": _determinism,
    "plans": _plans,
    "outputs": _outputs,
    "checkpoints": _checkpoints,
}


def _write(tallies: Sequence[Tally], path: Path | None) -> None:
    if path:
        path.write_text(json.dumps(as_data(tallies), indent=2) + "\n", encoding="utf-8")
