"""What is frozen: a table of files, and the command that prints each.

Commands run in a folder that holds copies of `INPUTS`. A file has what its command prints, then its
exit status and standard error unless it ended well and silently, then the files that it wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parents[1]
CASES = ("errors", "warnings", "regressions")
INPUTS = ("specs", *CASES)


class Output(NamedTuple):
    """A frozen file and its command; `wordless` keeps codes and places of diagnostics only."""

    file: str
    command: str
    wordless: bool = False


OF_A_NETWORK = {
    "{name}.py": "build {spec} -o -",
    "{name}.inference.py": "build {spec} --target inference -o -",
    "{name}.report.json": "report {spec} --format json --by node",
    "{name}.report.md": "report {spec} --format md",
    "{name}.show.txt": "show {spec}",
    "{name}.expanded.yaml": "show {spec} --expanded",
    "{name}.svg": "draw {spec} -o -",
}

OF_A_CASE = {
    "{name}.check.json": "check {spec} --format json",
    "{name}.build.txt": "build {spec} -o -",
}

KINDS = ("networks", "blocks", "shortcuts", "stems", "heads", "ops")

CONVENTIONS = (
    *("macs", "flops", "torchvision", "fvcore", "ptflops", "ptflops-modules", "ptflops-aten"),
    *("thop", "torchinfo", "torch"),
)

COMPARED = "resnet18 resnet50 seresnet50 preact_resnet50 vgg16"

ONCE = {
    "schema.json": "schema",
    "schema.block.json": "schema block",
    **{f"list.{kind}.txt": f"list {kind}" for kind in KINDS},
    "list.sorted.txt": "list --family resnext --sort macs",
    "list.matching.txt": "list --match 'option A'",
    "resnet50.report.html": "report resnet50 --format html",
    "preact_resnet50.report.html": "report preact_resnet50 --format html --by block",
    "r3d_18.report.html": "report r3d_18 --format html --paths",
    "compared.txt": f"report {COMPARED}",
    "compared.csv": f"report {COMPARED} --format csv --columns all",
    "compared.html": f"report {COMPARED} --format html",
    "report.paper.txt": "report --paper",
    "report.columns.txt": "report --columns help",
    "report.conventions.txt": "report --convention help",
    "report.devices.txt": "report --device help",
    "report.match.txt": "report resnet50 --match 4.12G",
    "report.budget.txt": "report resnet50 --budget 'macs < 4G, params < 26M'",
    "report.paths.txt": "report resnet50 --paths --by block",
    "report.input.csv": "report resnet50 --input 3x320x320 --by node --format csv",
    "report.explain.txt": "report resnet50 --convention fvcore --convention thop --explain",
    **{
        f"report.convention.{each}.txt": f"report resnet50 --convention {each} --by node"
        for each in CONVENTIONS
    },
    **{
        f"report.device.{device}.{dtype}.json": f"report resnet50 --device {device} --batch 256"
        f" --dtype {dtype} --by node --format json"
        for device, dtype in (("h200", "bfloat16"), ("v100", "float32"), ("t4", "int8"))
    },
    "report.adam.txt": "report resnet50 --optimizer adam --batch 32",
    "diff.depth.json": "diff resnet50 resnet101 --format json",
    "diff.depth.txt": "diff resnet50 resnet101",
    "diff.stem.json": "diff resnet50 resnet50d --format json",
    "diff.units.json": "diff resnet50 seresnet50 --format json",
    "diff.units.md": "diff resnet50 seresnet50 --format md",
    "diff.set.json": "diff resnet50 resnet50 --set layer3.blocks=11 --format json",
    "diff.equal.json": "diff resnet50 resnet50 --format json",
    "new.depth.yaml": "new mine --from resnet50 --depth 77 -o -",
    "new.known.yaml": "new mine --from resnet50 --depth 101 -o -",
    "new.macs.yaml": "new mine --from resnet18 --macs 3G -o -",
    "new.params.yaml": "new mine --from resnet50 --params 40M --set head.classes=10 -o -",
    "set.blocks.py": "build resnet50 --set layer3.blocks=11 -o -",
    "set.shortcut.py": "build resnet18 --set shortcut=preact_projection -o -",
    "set.block.inference.py": "build resnet18 --set block=bottleneck --target inference -o -",
    "set.expanded.yaml": "show resnet50d --set layer3.blocks=11 --expanded",
    "set.unknown.txt": "build resnet50 --set layer9.blocks=11 -o -",
    "unknown.txt": "build resnet5 -o -",
    "sweep.depth.txt": "sweep resnet50 --vary layer3.blocks=1..8 -o depth.csv",
    "sweep.width.txt": "sweep resnet18 --vary layer3.width=128,256 --vary layer4.width=128..512..128"
    " --where 'macs < 1.8e9' -o width.jsonl --plot width.svg",
    "sweep.block.txt": "sweep resnet34 --vary block=basic,bottleneck --columns params,macs"
    " --pareto params,-macs -o block.csv",
    "sweep.fault.txt": "sweep resnet50 --vary layer3.blocks=0..2 -o fault.csv",
}


def outputs(networks: Iterable[str]) -> Iterator[Output]:
    """All that is frozen, for these networks of the library."""
    for file, command in ONCE.items():
        yield Output(file, command)
    for name in networks:
        yield from _filled(OF_A_NETWORK, name, name)
    for path in _specs("specs"):
        yield from _filled(OF_A_NETWORK, path.removesuffix(".yaml"), path)
    for path in (path for folder in CASES for path in _specs(folder)):
        yield from _filled(OF_A_CASE, path.removesuffix(".yaml"), path, wordless=True)


def _specs(folder: str) -> list[str]:
    return sorted(path.relative_to(TESTS).as_posix() for path in (TESTS / folder).rglob("*.yaml"))


def _filled(
    table: dict[str, str], name: str, spec: str, *, wordless: bool = False
) -> Iterator[Output]:
    for file, command in table.items():
        yield Output(file.format(name=name), command.format(spec=spec), wordless)
