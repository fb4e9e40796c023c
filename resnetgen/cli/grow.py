"""`grow`: weights with which a deeper or wider network computes the same as a smaller one."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.console import OutputFile, torch_progress
from resnetgen.cli.errors import COMPILER_ERROR, Failed
from resnetgen.cli.options import (
    ForceEdited,
    Set,
    compile_spec,
    complete_spec,
    output_option,
    overrides,
)
from resnetgen.compiler.diagnostics.model import Diagnostic, escape_invisible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import nn

    from resnetgen.cli.console import Progress
    from resnetgen.pipeline import Compiled
    from resnetgen.weights.grow.pair import Pairing
    from resnetgen.weights.grow.transfer import Growth

Checkpoint = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="The weights of A: safetensors or torch.save.")
]
From = Annotated[
    str,
    typer.Option(
        "--from", metavar="A", help="The spec of CHECKPOINT.", autocompletion=complete_spec
    ),
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="B",
        help="The spec of the larger network; --set overrides its values, not those of A.",
        autocompletion=complete_spec,
    ),
]
Output = Annotated[str | None, output_option("A file, or a folder. [default: ./B.safetensors]")]


def grow(
    checkpoint: Checkpoint,
    small: From,
    large: To,
    output: Output = None,
    settings: Set = None,
    force: ForceEdited = False,
) -> None:
    """Grows a checkpoint to a larger network that computes the same.

    Writes weights with which network B computes what a smaller network A does.

    Deeper: blocks that only B has start as the identity, because the last weights of their branch
    are zero. Wider: channels of B are copies of channels of A, and whatever reads the copies weights
    them unequally, so that they diverge in training. B may be both deeper and wider. Any other
    difference is an error, which names the node and the reason.

    Before anything is written, both networks run in evaluation mode on the same random images. A
    network that is only deeper must match bit for bit in float32; a wider one must agree in float64.

    \b
    Examples:
      resnetgen grow resnet50.safetensors --from resnet50 --to resnet101
      resnetgen grow r18.pth --from resnet18 --to resnet18 --set layer4.width=640
      resnetgen grow mine.pth --from my/net.yaml --to my/larger.yaml
    """
    from resnetgen.compiler.frontend.input_file import note_input
    from resnetgen.weights.grow.pair import pair_nodes
    from resnetgen.weights.grow.widen import channel_maps
    from resnetgen.weights.safetensors_file import WEIGHTS, WeightsFile

    networks = compile_spec(small, {}), compile_spec(large, overrides(settings))
    name = networks[1].network.name
    note_input(checkpoint)
    path = _weights_path(output, name)
    file = OutputFile(path, WEIGHTS, force)
    pairing = pair_nodes(*(each.checked_graph for each in networks))
    maps = channel_maps(pairing)
    with torch_progress() as progress:
        from resnetgen.weights.grow.transfer import transfer

        before, after = _modules(checkpoint, networks, progress)
        progress("copying weights")
        growth = transfer(after.state_dict(), before.state_dict(), pairing, maps)
        grown = WeightsFile.from_module(after, name, path)
        progress("comparing outputs")
        agreement = _compare(pairing, growth, before, after)
    print("\n".join([*_summary(pairing, growth), agreement]))
    file.write(grown.data)
    file.announce(f"{grown.tensors} tensors, {len(grown.data):,} bytes")


def _weights_path(output: str | None, network: str) -> Path:
    """Where the weights go. Raises BadParameter for a name of another kind of file."""
    from resnetgen.compiler.codegen.files import file_name, output_path
    from resnetgen.weights.safetensors_file import SUFFIX

    path = output_path(output, file_name(network, SUFFIX))
    if path.suffix != SUFFIX:
        raise typer.BadParameter(f"must end in {SUFFIX}", param_hint="-o")
    return path


def _modules(
    checkpoint: str, networks: Sequence[Compiled], progress: Progress
) -> tuple[nn.Module, nn.Module]:
    """The smaller network with the weights of the checkpoint, the larger with initial ones."""
    from resnetgen.runtime.load import build
    from resnetgen.weights.load import build_seeded, load_weights
    from resnetgen.weights.read import read

    progress(f"reading {escape_invisible(checkpoint)}")
    small, large = (
        partial(build_seeded, partial(build, each.source, each.network.name)) for each in networks
    )
    done = load_weights(small, read(checkpoint), networks[0].checked_graph, networks[0].num_classes)
    print("".join(f"{line}\n" for line in done.remarks), end="", file=sys.stderr)
    progress("building the larger network")
    return done.module, large()


def _compare(pairing: Pairing, growth: Growth, small: nn.Module, large: nn.Module) -> str:
    """How well the outputs agree, in a line. Raises Failed if they do not."""
    from resnetgen.runtime.compare import TOLERANCE, disagreement, trial_input
    from resnetgen.weights.grow.pair import cannot_grow

    image = trial_input((pairing.graphs.small, pairing.graphs.large))
    exact = not growth.widened
    try:
        error = disagreement(small, large, image.shape, exact=exact)
    except ValueError as reason:
        raise cannot_grow(
            pairing.graphs, f"the weights cannot be checked on random images: {reason}"
        ) from None
    if error > (0 if exact else TOLERANCE):
        name = pairing.graphs.large.name
        message = f"`{name}` computes something else: off by {error:.1e} of its outputs' spread"
        raise Failed([Diagnostic("broken-prediction", message)], COMPILER_ERROR)
    how = (
        "bit-equal in float32"
        if exact
        else f"equal in float64, within {TOLERANCE:.0e} of their spread"
    )
    return f"outputs on random images of {image}: {how}"


def _summary(pairing: Pairing, growth: Growth) -> Iterator[str]:
    """What was added, and where the tensors came from."""
    joins = pairing.joins
    if len(joins) == 1:
        yield f"1 block added: join `{joins[0]}`"
    elif joins:
        yield f"{len(joins)} blocks added: joins `{joins[0]}` to `{joins[-1]}`"
    yield (
        f"tensors: {growth.moved} moved, {growth.widened} widened, {growth.zeroed} set to zero,"
        f" {growth.fresh} at initial values"
    )
