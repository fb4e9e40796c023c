"""Saved plans: what is stored, what loads it, and everything by which one is refused."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from randomised import randomise
from torch import Tensor, nn

import resnetgen
from resnetgen.compiler.codegen.files import WriteError
from resnetgen.pipeline import compile_spec
from resnetgen.runtime import plans
from resnetgen.runtime.trace import output_tensors
from resnetgen.weights import plan_file

NAMES = ["net.plan.json", "net.py", "net.safetensors"]
READ = ["net.plan.json", "net.safetensors"]  # by `load_plan`; the printed file is for people
SMALL = {"input.size": [32, 32]}


def weights(network: str = "resnet20", seed: int = 1) -> dict[str, Tensor]:
    state = resnetgen.load(network).state_dict()
    randomise(state, seed)
    return state


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return weights()


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, state: dict[str, Tensor], x: Tensor) -> Path:
    """A folder with a plan of resnet20; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("plans")
    resnetgen.optimize("resnet20", state, x, plan=folder / "net.plan.json")
    return folder


@pytest.fixture
def plan(made: Path, tmp_path: Path) -> Path:
    """A plan of resnet20 that may be changed."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "net.plan.json"


def refusal(path: Path) -> str:
    """Why a plan is not loaded."""
    with pytest.raises(resnetgen.WeightsError) as refused:
        resnetgen.load_plan(path)
    assert refused.value.diagnostic.code == "unfit-plan"
    assert "make it again" in str(refused.value)
    return refused.value.diagnostic.message


def resealed(path: Path, change: Callable[[dict], object]) -> None:
    """Changes what a plan says, and makes its digest hold again."""
    about = json.loads(path.read_bytes())
    del about["digest"]
    change(about)
    path.write_text(json.dumps({**about, "digest": plan_file._digest(about)}))


def bits(model: nn.Module, x: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return output_tensors(model(x))


def test_what_is_loaded_is_what_was_made(made: Path, state: dict[str, Tensor], x: Tensor) -> None:
    assert sorted(os.listdir(made)) == NAMES
    loaded = resnetgen.load_plan(made / "net.plan.json")
    built = resnetgen.optimize("resnet20", state, x)
    assert torch.equal(*bits(loaded, x), *bits(built, x))
    assert not loaded.training
    assert not any(each.requires_grad for each in loaded.parameters())


@pytest.mark.parametrize(
    ("network", "overrides"),
    [("resnetblur18", SMALL), ("seresnet18", SMALL), ("resnet18_1d", {}), ("vgg11_bn", {})],
)
def test_other_kinds_of_network(network: str, overrides: dict[str, object], tmp_path: Path) -> None:
    """With tensors that no file holds (blur), gates, one axis, and linear layers before the last."""
    compiled = compile_spec(network, **overrides)
    image = torch.randn(1, *compiled.flat_graph.input.shape)
    state, path = weights(network), tmp_path / "net.plan.json"
    built = resnetgen.optimize(network, state, image, plan=path, **overrides)
    for one, other in zip(bits(resnetgen.load_plan(path), image), bits(built, image), strict=True):
        assert torch.equal(one, other)


def test_in_bfloat16(state: dict[str, Tensor], x: Tensor, tmp_path: Path) -> None:
    path = tmp_path / "net.plan.json"
    built = resnetgen.optimize("resnet20", state, x.bfloat16(), plan=path)
    loaded = resnetgen.load_plan(path)
    assert {each.dtype for each in loaded.parameters()} == {torch.bfloat16}
    assert torch.equal(*bits(loaded, x.bfloat16()), *bits(built, x.bfloat16()))


def test_nothing_is_drawn(made: Path) -> None:
    before = torch.get_rng_state()
    resnetgen.load_plan(made / "net.plan.json")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_collector_is_as_it_was(made: Path) -> None:
    import gc

    for enabled in (False, True):
        (gc.enable if enabled else gc.disable)()
        resnetgen.load_plan(made / "net.plan.json")
        assert gc.isenabled() is enabled


# --- what it says


def test_the_same_weights_give_the_same_bytes(
    plan: Path, state: dict[str, Tensor], x: Tensor, tmp_path: Path
) -> None:
    (tmp_path / "again").mkdir()
    other = dict(reversed(state.items()))
    resnetgen.optimize("resnet20", other, x, plan=tmp_path / "again" / "net.plan.json")
    for name in NAMES:
        assert (tmp_path / "again" / name).read_bytes() == plan.with_name(name).read_bytes(), name


def test_it_says_what_is_computed(made: Path, state: dict[str, Tensor]) -> None:
    about = json.loads((made / "net.plan.json").read_bytes())
    folded = compile_spec("resnet20").inference_plan.forward.folded
    assert [each["op"] for each in about["steps"]] == [step.node.op for step in folded.steps]
    assert [each["type"] for each in about["steps"]] == [
        [*step.type.shape] for step in folded.steps
    ]
    assert {"addend", "relu", "module", "attributes"} <= {
        key for each in about["steps"] for key in each
    }
    assert about["key"] == {
        "resnetgen": resnetgen.__version__,
        "torch": torch.__version__,
        "device": f"cpu {torch.backends.cpu.get_cpu_capability()}",
        "dtype": "float32",
        "network": "resnet20",
        "spec": compile_spec("resnet20").network.digest,
        "weights": plans.weights_digest(state),
    }


def test_the_digest_of_weights_is_of_all_that_they_are(state: dict[str, Tensor]) -> None:
    key = "conv1.weight"
    changed = state[key].clone()
    changed[0, 0, 0, 0] += 1e-3
    others = [
        {**state, key: changed},
        {**state, key: state[key].double()},
        {**state, key: state[key].flatten()},
        {name + "x": value for name, value in state.items()},
        {**state, key: state[key].to("meta")},
    ]
    digests = [plans.weights_digest(each) for each in (state, *others)]
    assert len(set(digests)) == len(digests)
    layout = {**state, key: state[key].contiguous(memory_format=torch.channels_last)}
    assert plans.weights_digest(layout) == digests[0]


# --- optimize with a plan


def stamps(path: Path) -> list[int]:
    return [path.with_name(name).stat().st_ino for name in NAMES]


def test_a_plan_that_fits_is_not_made_again(
    plan: Path, state: dict[str, Tensor], x: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    before = stamps(plan)
    with caplog.at_level(logging.WARNING, "resnetgen"):
        loaded = resnetgen.optimize("resnet20", state, x, plan=plan)
    assert stamps(plan) == before
    assert not caplog.messages
    assert torch.equal(*bits(loaded, x), *bits(resnetgen.load_plan(plan), x))


@pytest.mark.parametrize("what", ["weights", "dtype", "spec", "network", "torch", "device"])
def test_one_that_does_not_is(
    what: str,
    plan: Path,
    state: dict[str, Tensor],
    x: Tensor,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec, overrides = "resnet20", {}
    if what == "weights":
        state = weights(seed=2)
    elif what == "dtype":
        x = x.bfloat16()
    elif what == "spec":
        overrides = {"input.size": [40, 40]}
    elif what == "network":
        spec, state = "resnet32", weights("resnet32")
    elif what == "torch":
        monkeypatch.setattr(torch, "__version__", "3.0.0")
    else:
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "ABACUS")
    with caplog.at_level(logging.WARNING, "resnetgen"):
        module = resnetgen.optimize(spec, state, x, plan=plan, **overrides)
    (line,) = caplog.messages
    assert f"{what} " in line
    assert line.endswith("; made again")
    assert sorted(os.listdir(plan.parent)) == NAMES
    assert torch.equal(*bits(module, x), *bits(resnetgen.load_plan(plan), x))


def test_weights_that_do_not_fit_leave_the_plan(plan: Path, x: Tensor) -> None:
    before = stamps(plan)
    state = {"conv1.weight": torch.empty(16, 3, 3, 3, device="meta")}
    with pytest.raises(resnetgen.WeightsError, match="does not fit `resnet20`"):
        resnetgen.optimize("resnet20", state, x, plan=plan)
    assert stamps(plan) == before


# --- what is not loaded


@pytest.mark.parametrize("name", READ)
def test_a_file_that_is_missing(name: str, plan: Path) -> None:
    plan.with_name(name).unlink()
    assert "no such file" in refusal(plan)


@pytest.mark.parametrize("name", READ)
def test_a_file_that_was_edited(name: str, plan: Path) -> None:
    path = plan.with_name(name)
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    assert "edited" in refusal(plan) or "damaged" in refusal(plan)


@pytest.mark.parametrize("name", READ)
def test_a_file_that_is_cut_off(name: str, plan: Path) -> None:
    path = plan.with_name(name)
    path.write_bytes(path.read_bytes()[:-100])
    refusal(plan)


@pytest.mark.parametrize("name", READ)
def test_a_folder_in_its_place(name: str, plan: Path) -> None:
    plan.with_name(name).unlink()
    plan.with_name(name).mkdir()
    refusal(plan)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", '{"plan": 1}', "[" * 100_000, '{"a": 1}', "\xff", '{"plan": NaN}']
)
def test_what_is_not_a_plan(text: str, plan: Path) -> None:
    plan.write_bytes(text.encode("latin-1"))
    refusal(plan)


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about.update(plan=1),
        lambda about: about.update(plan=True),
        lambda about: about.pop("key"),
        lambda about: about.update(key=[]),
        lambda about: about.update(files={"module": {}, "weights": {}}),
        lambda about: about.update(weights={}),
        lambda about: about["weights"].update(name=1),
        lambda about: about["key"].pop("dtype"),
        lambda about: about["key"].update(more="x"),
        lambda about: about["key"].update(device=["cpu"]),
        lambda about: about["key"].update(dtype="os"),
        lambda about: about["key"].update(device="cuda 9.0"),
        lambda about: about["key"].update(device="nonsense unknown"),
        lambda about: about["key"].update(device="meta unknown"),
        lambda about: about["key"].update(device="cpu:0 unknown"),
        lambda about: about["steps"][-2].update(module="_alive"),
        lambda about: about["steps"][-2].update(module="__deepcopy__"),
        lambda about: about["steps"][-2].update(module="forward"),
        lambda about: about["weights"].update(sha256="0" * 64),
    ],
)
def test_a_sealed_plan_that_is_not_ours(change: Callable[[dict], object], plan: Path) -> None:
    resealed(plan, change)
    refusal(plan)


@pytest.mark.parametrize("name", ["../net.py", "/etc/passwd", "..", "", ".", "a\\b", "C:x", "a\0b"])
def test_a_name_that_leads_elsewhere(name: str, plan: Path) -> None:
    resealed(plan, lambda about: about["weights"].update(name=name))
    assert "is not the name of a file beside it" in refusal(plan)


@pytest.mark.parametrize("text", ["import os\nos.mkdir('ran')\n", "\xff", None])
def test_the_printed_file_is_not_read(
    text: str | None, plan: Path, state: dict[str, Tensor], x: Tensor
) -> None:
    plan.with_name("net.py").unlink()
    if text is None:
        os.mkfifo(plan.with_name("net.py"))  # reading it would wait for ever
    else:
        plan.with_name("net.py").write_bytes(text.encode("latin-1"))
    built = resnetgen.optimize("resnet20", state, x)
    assert torch.equal(*bits(resnetgen.load_plan(plan), x), *bits(built, x))
    assert not plan.with_name("ran").exists()


def _special(kind: str, path: Path) -> None:
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(300 << 20)


@pytest.mark.parametrize("kind", ["pipe", "device", "300 MB"])
@pytest.mark.parametrize("name", READ)
def test_what_is_no_file_of_a_plan(name: str, kind: str, plan: Path) -> None:
    _special(kind, plan.with_name(name))
    reason = refusal(plan)
    assert not reason.endswith((":", ": "))
    assert any(
        word in reason for word in ("regular file", "more than", "not a file of safetensors")
    )


def test_weights_of_another_size_are_not_hashed(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest of a sparse file of 3 GB took 12 s."""
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("computed the digest"))
    with plan.with_name("net.safetensors").open("r+b") as file:
        file.truncate(3 << 30)
    assert "does not have the tensors of the steps" in refusal(plan)


def test_weights_in_another_format(plan: Path, state: dict[str, Tensor]) -> None:
    """Even with their digest, nothing is unpickled."""
    path = plan.with_name("net.safetensors")
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    resealed(plan, lambda about: about["weights"].update(sha256=digest))
    assert "is not a file of safetensors" in refusal(plan)


def test_weights_of_another_network_with_their_digest(plan: Path, x: Tensor) -> None:
    other = plan.parent / "other"
    other.mkdir()
    resnetgen.optimize("resnet32", weights("resnet32"), x, plan=other / "net.plan.json")
    shutil.copy(other / "net.safetensors", plan.parent)
    digest = hashlib.sha256((other / "net.safetensors").read_bytes()).hexdigest()
    resealed(plan, lambda about: about["weights"].update(sha256=digest))
    assert "does not have the tensors of the steps" in refusal(plan)


@pytest.mark.parametrize("version", ["resnetgen", "torch"])
def test_another_version(version: str, plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = plans if version == "resnetgen" else torch
    own = str(module.__version__)
    monkeypatch.setattr(module, "__version__", "9.9")
    assert f"it was made for {version} {own}, not 9.9" in refusal(plan)


def test_another_processor(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = torch.backends.cpu.get_cpu_capability()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "ABACUS")
    assert f"it was made for device cpu {own}, not cpu ABACUS" in refusal(plan)


def test_weights_that_are_replaced_while_they_are_read(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = plan.with_name("net.safetensors")
    read = plans.read_weights

    def replaced(name: Path) -> object:
        shutil.copy(path, path.with_name("new"))
        os.replace(path.with_name("new"), path)
        return read(name)

    monkeypatch.setattr(plans, "read_weights", replaced)
    assert "was replaced while it was read" in refusal(plan)


# --- writing


@pytest.mark.parametrize(
    "mixed", [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]]
)
def test_files_of_two_plans(mixed: list[int], plan: Path, x: Tensor) -> None:
    """As a kill leaves them, or two processes; the next call makes the plan whole."""
    other = plan.parent / "other"
    other.mkdir()
    state = weights("resnet32", seed=2)
    resnetgen.optimize("resnet32", state, x, plan=other / "net.plan.json")
    for name, taken in zip(NAMES, mixed, strict=True):
        if taken:
            shutil.copy(other / name, plan.parent)
    if mixed[0] != mixed[2]:
        refusal(plan)
    repaired = resnetgen.optimize("resnet32", state, x, plan=plan)
    assert torch.equal(*bits(repaired, x), *bits(resnetgen.load_plan(plan), x))


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_error_in_the_middle_leaves_what_was_there(
    after: int, plan: Path, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [plan.with_name(name).read_bytes() for name in NAMES]
    calls: list[object] = []
    synced = os.fsync

    def fail(handle: int) -> None:
        calls.append(handle)
        if len(calls) > after:
            raise OSError(28, "No space left on device")
        synced(handle)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(WriteError, match="No space left"):
        resnetgen.optimize("resnet20", weights(seed=2), x, plan=plan)
    assert [plan.with_name(name).read_bytes() for name in NAMES] == before
    assert sorted(os.listdir(plan.parent)) == NAMES


def test_a_kill_in_the_middle_leaves_what_is_refused(
    plan: Path, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is cleaned up, as by a power cut: only the first rename took place."""
    before = [plan.with_name(name).read_bytes() for name in NAMES]
    replace, done = os.replace, []

    def killed(source: Path, target: Path) -> None:
        if not done:
            replace(source, target)
        done.append(target)

    monkeypatch.setattr(os, "replace", killed)
    resnetgen.optimize("resnet20", weights(seed=2), x, plan=plan)
    monkeypatch.undo()
    assert [plan.with_name(name).read_bytes() for name in NAMES] != before
    assert "is not the file of this plan" in refusal(plan)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_folder_that_may_only_be_read(plan: Path, x: Tensor) -> None:
    plan.parent.chmod(0o555)
    try:
        with pytest.raises(WriteError, match="Permission denied"):
            resnetgen.optimize("resnet20", weights(seed=2), x, plan=plan)
        assert resnetgen.load_plan(plan)
    finally:
        plan.parent.chmod(0o755)


@pytest.mark.parametrize("name", ["gone/net.plan.json", "net.json", ".plan.json", "net.py"])
def test_a_place_where_no_plan_can_be(
    name: str, state: dict[str, Tensor], x: Tensor, tmp_path: Path
) -> None:
    with pytest.raises(WriteError):
        resnetgen.optimize("resnet20", state, x, plan=tmp_path / name)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_what_somebody_else_wrote_stays(
    name: str, state: dict[str, Tensor], x: Tensor, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(WriteError) as refused:
        resnetgen.optimize("resnet20", state, x, plan=tmp_path / "net.plan.json")
    assert refused.value.diagnostic.code == "file-exists"
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_checkpoint_of_ours_is_not_taken_for_weights_of_a_plan(
    call: Callable[..., object], folder: Path, state: dict[str, Tensor], x: Tensor
) -> None:
    torch.save(state, "given.pth")
    assert call("build", "resnet20", "--weights", "given.pth", "-o", "net.py").exit_code == 0
    with pytest.raises(WriteError, match="belongs to no plan"):
        resnetgen.optimize("resnet20", state, x, plan="net.plan.json")


# --- the command


def test_the_command_writes_the_plan_that_optimize_accepts(
    call: Callable[..., object],
    folder: Path,
    state: dict[str, Tensor],
    x: Tensor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    torch.save(state, "given.pth")
    options = ("--target", "inference", "--weights", "given.pth", "-o", "net.py")
    done = call("build", "resnet20", *options)
    assert done.exit_code == 0, done.stderr
    assert "wrote net.plan.json (" in done.stdout
    loaded = resnetgen.optimize("resnet20", state, x, plan="net.plan.json")
    assert not caplog.messages
    assert torch.equal(*bits(loaded, x), *bits(resnetgen.load_plan("net.plan.json"), x))
    (folder / "net.plan.json").write_text("{}")
    again = call("build", "resnet20", *options)
    assert again.exit_code == 2
    assert "error[file-exists]: `net.plan.json`" in again.stderr
