"""`grow`: the weights of a deeper or wider network that computes what a smaller one does."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from resnetgen.cli.console import torch_at_work
from resnetgen.cli.errors import BROKEN, Failed
from resnetgen.cli.options import (
    Set,
    compile_spec,
    complete_spec,
    force_option,
    output_option,
    overrides,
)
from resnetgen.compiler.diagnostics.model import Diagnostic, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import nn

    from resnetgen.cli.console import Progress
    from resnetgen.pipeline import Compiled
    from resnetgen.weights.grow.pair import Pairing
    from resnetgen.weights.grow.transfer import Growth
    from resnetgen.weights.safetensors_file import Converted

Checkpoint = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="The weights of A: safetensors or torch.save.")
]
From = Annotated[
    str,
    typer.Option("--from", metavar="A", help="The spec it is of.", autocompletion=complete_spec),
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
Force = Annotated[
    bool, force_option("Replace what resnetgen did not write, or what was edited since.")
]


def grow(
    checkpoint: Checkpoint,
    small: From,
    large: To,
    output: Output = None,
    settings: Set = None,
    force: Force = False,
) -> None:
    """Writes weights with which network B computes what the smaller network A does.

    Deeper: blocks that only B has start as the identity, because the last weights of their branch
    are zero. Wider: channels of B are copies of channels of A, and what reads the copies takes
    unequal shares of each, so that they part in training. Both at once where B is both. Whatever
    else differs ends it, with the node and the reason.

    Before anything is written, both networks run in evaluation on the same random images. A network
    that is only deeper has to be bit-equal in float32; a wider one has to agree in float64.

    \b
    Examples:
      resnetgen grow resnet50.safetensors --from resnet50 --to resnet101
      resnetgen grow resnet18.pth --from resnet18 --to resnet18 --set layer4.width=640 -o wide/
      resnetgen grow mine.pth --from my/net.yaml --to my/larger.yaml
    """
    from resnetgen.weights.grow.pair import pair
    from resnetgen.weights.grow.widen import channel_maps
    from resnetgen.weights.safetensors_file import Converted

    ends = compile_spec(small, {}), compile_spec(large, overrides(settings))
    path = _place(output, ends[1].network.name, checkpoint, force)
    pairing = pair(*(each.graph for each in ends))
    maps = channel_maps(pairing)
    with torch_at_work() as progress:
        from resnetgen.weights.grow.transfer import transfer

        before, after = _modules(checkpoint, ends, progress)
        progress("copying weights")
        growth = transfer(after.state_dict(), before.state_dict(), pairing, maps)
        grown = Converted.of(after, ends[1].network.name, path)
        progress("comparing outputs")
        held = _held(pairing, growth, before, after)
    for line in (*_account(pairing, growth), held):
        print(line)
    _write(grown)


def _place(output: str | None, network: str, checkpoint: str, force: bool) -> Path:
    """Where the weights go. Raises WriteError where they must not."""
    from resnetgen.compiler.codegen.files import destination
    from resnetgen.weights.safetensors_file import SUFFIX, refuse_foreign_weights, refuse_itself

    path = destination(output, network, SUFFIX)
    if path.suffix != SUFFIX:
        raise typer.BadParameter(f"must end in {SUFFIX}, for that is written", param_hint="-o")
    refuse_itself(path, checkpoint)
    refuse_foreign_weights(path, force)
    return path


def _modules(
    checkpoint: str, ends: Sequence[Compiled], progress: Progress
) -> tuple[nn.Module, nn.Module]:
    """The smaller network with the weights of the checkpoint, the larger with initial ones."""
    from resnetgen.runtime.load import build
    from resnetgen.weights.load import filled, seeded
    from resnetgen.weights.read import read

    progress(f"reading {visible(checkpoint)}")
    small, large = (
        partial(seeded, partial(build, each.source, each.network.name)) for each in ends
    )
    done = filled(small, read(checkpoint), ends[0].graph, ends[0].classes)
    print("".join(f"{line}\n" for line in done.told), end="", file=sys.stderr)
    progress("building the larger network")
    return done.module, large()


def _held(pairing: Pairing, growth: Growth, small: nn.Module, large: nn.Module) -> str:
    """How well the outputs agree, in a line. Raises Failed where they do not."""
    from resnetgen.runtime.compare import TOLERANCE, disagreement, trial_input
    from resnetgen.weights.grow.pair import cannot_grow

    image = trial_input((pairing.ends.small, pairing.ends.large))
    exact = not growth.widened
    try:
        apart = disagreement(small, large, image.shape, exact=exact)
    except ValueError as error:
        raise cannot_grow(pairing.ends, f"nothing can be shown on random images: {error}") from None
    if apart > (0 if exact else TOLERANCE):
        name = pairing.ends.large.name
        message = (
            f"`{name}` computes something else: its outputs are {apart:.1e} of their spread off"
        )
        raise Failed([Diagnostic("broken-prediction", message)], BROKEN)
    how = (
        "bit-equal in float32"
        if exact
        else f"equal in float64, within {TOLERANCE:.0e} of their spread"
    )
    return f"outputs on random images of {image}: {how}"


def _account(pairing: Pairing, growth: Growth) -> Iterator[str]:
    """What was added, and which tensors came from where."""
    joins = pairing.joins
    if len(joins) == 1:
        yield f"1 block added: join `{joins[0]}`"
    elif joins:
        yield f"{len(joins)} blocks added: joins `{joins[0]}` to `{joins[-1]}`"
    yield (
        f"tensors: {growth.moved} moved, {growth.widened} widened, {growth.zeroed} set to zero,"
        f" {growth.fresh} at initial values"
    )


def _write(grown: Converted) -> None:
    from resnetgen.compiler.codegen.files import write_atomically

    write_atomically(grown.path, grown.data)
    said = f"{grown.tensors} tensors, {len(grown.data):,} bytes"
    print(f"wrote {visible(str(grown.path))} ({said})")
