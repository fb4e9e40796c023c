"""`python -m generated run --count 5000`, from `tests/`: a search with twisted specs.

`python -m generated mutants --count 2000` puts faults back that were once there, one at a time.

Prints each spec that is accepted and wrong, or refused without a code; then how many were accepted,
and what share of them had each op, block, policy, twist and rule.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch

from generated.choices import Drawn
from generated.mutants import FAULTS
from generated.properties import rates_rename_nothing, right
from generated.twists import split, twisted
from resnetgen import Compiled, SpecError
from resnetgen.compiler.ir.nodes import SHORTCUT, called_blocks
from resnetgen.compiler.ir.ops import OPS
from resnetgen.compiler.passes.instantiate import instances_below
from resnetgen.pipeline import compile_spec, compile_text


def attempt(seed: int) -> tuple[str, list[str], Compiled | None, str | None]:
    """The spec of a seed, its twists, what was compiled, and what is wrong."""
    text, twists = twisted(Drawn(random.Random(seed)))
    try:
        compiled = compile_text(text)
    except SpecError as error:
        sound = all(each.code != "internal" and each.span for each in error.diagnostics)
        return text, twists, None, None if sound else f"refused without a place: {error}"
    except Exception as error:
        return text, twists, None, f"{type(error).__name__}: {error}"
    try:
        right(compiled)
        rates_rename_nothing(text, compiled)
        return text, twists, compiled, two_files_error(seed, text, compiled)
    except Exception as error:
        return text, twists, None, f"{type(error).__name__}: {error}"


def two_files_error(seed: int, text: str, compiled: Compiled) -> str | None:
    """What differs if the spec is written as two files; None if nothing does."""
    base, own = split(Drawn(random.Random(seed)), text, compiled.network.doc)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "base.yaml").write_text(base, encoding="utf-8")
        Path(folder, "own.yaml").write_text(own, encoding="utf-8")
        try:
            again = compile_spec(Path(folder, "own.yaml"))
        except SpecError as error:
            return f"as two files: {error}\n{base}---\n{own}"
    if again.source.split('"""', 2)[2] != compiled.source.split('"""', 2)[2]:
        return f"as two files it is another network\n{base}---\n{own}"
    return None


def features(compiled: Compiled) -> Iterator[str]:
    """What occurs in a network, for the table."""
    for instance in instances_below(compiled.root):
        for node in instance.nodes:
            if node.op:
                yield f"op {node.op.name}"
            if node.block_node.target == SHORTCUT and node.runs:
                yield f"policy {node.runs[0].instance.block.name}"
    for block in called_blocks(compiled.network):
        if block.span.source.shipped:
            yield f"block {block.name}"
    for rule in compiled.network.init.values():
        yield from (f"init {each.name}" for each in rule.rules.values())


def mutants(most: int, start: int) -> int:
    """Puts each fault back, and looks for a spec that shows it; the table of how many it took."""
    missed = 0
    for name, fault in FAULTS.items():
        with fault():
            found = next((seed for seed in range(start, start + most) if attempt(seed)[3]), None)
        missed += found is None
        print(f"{name:60}{'not found' if found is None else found - start + 1:>12}", flush=True)
    return 1 if missed else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m generated", description=__doc__)
    parser.add_argument("command", choices=["run", "mutants"])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    said = parser.parse_args()
    torch.set_num_threads(1)  # the networks are small
    if said.command == "mutants":
        return mutants(said.count, said.seed)
    seen, wrong, accepted = Counter[str](), 0, 0
    for seed in range(said.seed, said.seed + said.count):
        text, twists, compiled, error = attempt(seed)
        if error:
            wrong += 1
            print(f"--- seed {seed} ({', '.join(twists)}): {error}\n{text}", flush=True)
        if compiled:
            accepted += 1
            seen.update({*features(compiled), *(f"twist {each}" for each in twists)})
        if seed % 100 == 99:
            print(f"{seed + 1 - said.seed} of {said.count}", file=sys.stderr, flush=True)
    print(f"{said.count} specs, {accepted} accepted, {wrong} wrong")
    for name in sorted({*seen, *(f"op {each}" for each in OPS)}):
        print(f"{name:32}{100 * seen[name] / max(accepted, 1):6.1f} %")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
