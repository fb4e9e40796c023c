"""Random variants of library networks, by seed, and the tensors they predict."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from resnetgen.weights.infer.checkpoint import CheckpointShapes, unwrap_checkpoint
from resnetgen.weights.infer.design import Design, DesignCompiler, equivalence_key, library_designs
from resnetgen.weights.infer.hyperparameters import hyperparameters_of

BASES = (
    "resnet50", "resnet18", "resnext50_32x4d", "wide_resnet50_2", "seresnet50", "resnet50d",
    "ecaresnet26t", "resnetrs50", "senet154", "resnet20_b", "resnet20", "resnet34_c",
    "preact_resnet50", "preact_resnet18", "resnetv2_50", "preact_resnet164", "wide_resnet28_10",
    "vgg16", "vgg11_bn", "r3d_18", "resnet18_1d", "resnet50_gn", "resnext29_8x64d", "alexnet",
    "googlenet", "resnetaa50d", "plain20", "resnet10t",
)  # fmt: skip
# Components to put in place of others; each has tensors of its own.
SWAPS = {
    ("block", "attention"): ("eca", "squeeze_excite"),
    ("shortcut",): ("projection_all", "avg_projection"),
    ("norm",): ("group_norm",),
    ("stem",): ("deep", "{op: cifar, width: 32}"),
    ("block",): ("basic", "bottleneck"),
}
WIDTHS = (16, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192)


@dataclass(frozen=True)
class Variant:
    """A network that the library does not have."""

    design: Design
    checkpoint: CheckpointShapes
    equivalence_key: object


def variant(seed: int, compiler: DesignCompiler) -> Variant:
    """The first network of a seed that compiles and has other tensors than all of the library."""
    random = Random(seed)
    known = [compiler.shapes(design) for design in library_designs()]
    base = Design(BASES[seed % len(BASES)])
    while True:
        design = _swapped(base, random) if seed % 3 == 2 else base
        design = _renumbered(design, random, compiler) if compiler.shapes(design) else base
        shapes = compiler.shapes(design)
        if shapes and shapes not in known and compiler.fits(design, unwrap_checkpoint("", shapes)):
            full = compiler.networks.shapes(design.base, design.settings)
            wrapped = {f"module.{key}": shape for key, shape in full.items()}
            return Variant(
                design,
                unwrap_checkpoint(f"{seed}.pth", wrapped),
                equivalence_key(compiler.graph(design)),
            )


def _swapped(design: Design, random: Random) -> Design:
    path = random.choice([*SWAPS])
    return design.with_overrides({path: random.choice(SWAPS[path])})


def _renumbered(design: Design, random: Random, compiler: DesignCompiler) -> Design:
    depths = {stage: random.randint(1, 5) for stage in design.blocks if random.random() < 0.7}
    design = design.with_blocks({**design.blocks, **depths})
    network, _ = compiler.body(design)
    chosen = {
        path: number.as_yaml(_other(path[-1], number.count, random))
        for path, number in hyperparameters_of(design.tree, network).items()
        if path[-1] in _OTHERS and random.random() < 0.5
    }
    return design.with_overrides(chosen)


_OTHERS = {
    "width": WIDTHS,
    "channels": (1, 2, 4, 12),
    "classes": (2, 10, 37, 100),
    "num_classes": (2, 10, 37),
    "groups": (2, 4, 8),
    "base_width": (8, 16, 32, 48),
    "expansion": (2, 3),
    "first": (8, 12),
    "b1": (32, 48),
    "out": (48, 80, 4000),
}


def _other(name: str, count: int, random: Random) -> int:
    return random.choice([each for each in _OTHERS[name] if each != count])
