"""Specs of the library with one fault each, at a known place: is it found there, and mended rightly?

    shortcut: projektion    ->    4:11-21, name, was `projection`

Names are misspelt by one letter, values get a wrong type, YAML loses or gains a character, numbers
are changed until shapes no longer meet. Mutants that stay valid are discarded.
"""

from __future__ import annotations

import functools
import random
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from fuzz.forked import DONE, Limits, run
from fuzz.tally import Tally, share, watched
from resnetgen import SpecError
from resnetgen.compiler.diagnostics.model import Diagnostic, Span
from resnetgen.pipeline import compile_spec

ROOT = Path(__file__).resolve().parents[2]
SPECS = ROOT / "specs"
CLASSES = {"name": 40, "type": 20, "syntax": 20, "shape": 20}  # percent of all
WANTED = {"found": 97, "few": 100, "mended": 95}  # percent of each class
KIND = "mutants"
MALFORMED = "malformed"  # where a mutant belongs that breaks the compiler
HOST = "net.yaml"

# Below these keys stand names that the author chose: another spelling is another name, no fault.
_CHOSEN = ("nodes", "stages", "params", "let", "define", "slots", "outputs")
_TEXT = ("network", "block", "class", "doc", "paper", "family", "as", "role", "language")
_SIZES = ("width", "stride", "out", "kernel", "padding", "groups", "expansion", "dilation", "channels", "first", "second",
          "base_width", "scale", "back", "front", "first_stride", "classes", "size")  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Columns of a line, from 1; `end` is exclusive."""

    line: int
    start: int
    end: int


@dataclass(frozen=True)
class Mutant:
    """A text with one fault. `file` is where it stands, `host` the network that reads a block."""

    kind: str
    how: str  # what was done
    file: str
    text: str
    place: Place
    was: str | None = None  # of a misspelling: the right name
    host: str | None = None
    gone: bool = False  # something was taken away: there is nothing to point at but its line


# --- what is mutated


@dataclass(frozen=True)
class Text:
    """A file of the library, and the network that uses it if it is a block."""

    file: str
    text: str
    host: str | None = None


@functools.cache
def texts() -> tuple[Text, ...]:
    """Networks, and blocks with a network that uses them."""
    networks = sorted(SPECS.glob("*.yaml"))
    found = [Text(HOST, path.read_text(encoding="utf-8")) for path in networks]
    users = _users([path.stem for path in networks])
    for path in sorted(SPECS.glob("*/*.yaml")):
        if path.stem in users:
            host = f"network: host\nextends: {users[path.stem]}\n"
            found.append(
                Text(f"{path.parent.name}/{path.name}", path.read_text(encoding="utf-8"), host)
            )
    return tuple(found)


def _users(networks: Sequence[str]) -> dict[str, str]:
    """For each block of the library, a network that is broken where the block is."""
    users: dict[str, str] = {}
    blocks = [path.stem for path in SPECS.glob("*/*.yaml")]
    for name in networks:
        chain, text = name, ""
        while chain:
            here = (SPECS / f"{chain}.yaml").read_text(encoding="utf-8")
            text += here
            base = re.search(r"^extends: (\S+)", here, re.MULTILINE)
            chain = base[1] if base else ""
        for block in blocks:
            if re.search(rf"\b{block}\b", text) or (
                block in ("classifier", "default") and "head: {" in text
            ):
                users.setdefault(block, name)
    return users


@dataclass(frozen=True)
class Site:
    """A scalar, list or map of a text, and the keys above it."""

    node: yaml.Node
    path: tuple[str, ...]
    is_key: bool

    @property
    def word(self) -> str:
        return self.node.value if isinstance(self.node, yaml.ScalarNode) else ""

    @property
    def start(self) -> int:
        return self.node.start_mark.index  # type: ignore[no-any-return]

    @property
    def end(self) -> int:
        return self.node.end_mark.index  # type: ignore[no-any-return]


def sites(text: str) -> Iterator[Site]:
    """Every key and value, by PyYAML's own composer."""
    root = yaml.compose(text)
    assert root is not None
    yield from _sites(root, ())


def _sites(node: yaml.Node, path: tuple[str, ...]) -> Iterator[Site]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, key.value)
            yield Site(key, inner, True)
            yield Site(value, inner, False)
            yield from _sites(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield Site(item, (*path, "-"), False)
            yield from _sites(item, (*path, "-"))


# --- how


def _replaced(
    text: Text, start: int, end: int, new: str, kind: str, how: str, **more: object
) -> Mutant:
    """A mutant whose place is the text that now stands there."""
    changed = text.text[:start] + new + text.text[end:]
    line = text.text.count("\n", 0, start) + 1
    column = start - (text.text.rfind("\n", 0, start) + 1) + 1
    place = Place(line, column, column + max(1, len(new)))
    gone = kind == "syntax" and not new.strip(" =")
    return Mutant(kind, how, text.file, changed, place, host=text.host, gone=gone, **more)  # type: ignore[arg-type]


def misspellings(word: str, rng: random.Random) -> str:
    """A word with one letter left out, doubled, swapped with its neighbour, or another."""
    at = rng.randrange(len(word))
    other = rng.choice("abcdefghijklmnopqrstuvwxyz")
    return rng.choice(
        [
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + other + word[at + 1 :],
            word[: max(at - 1, 0)] + word[max(at - 1, 0) : at + 1][::-1] + word[at + 1 :],
        ]
    )


_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPELT = ("if", "else", "and", "or", "not", "true", "false", "null")


def names(text: Text, rng: random.Random) -> Iterator[Mutant]:
    """Keys, names of blocks, nodes and rules, and names within expressions, misspelt."""
    for site in sites(text.text):
        if not isinstance(site.node, yaml.ScalarNode):
            continue
        chosen = len(site.path) > 1 and site.path[-2] in _CHOSEN
        free = not site.is_key and site.path[-1] in _TEXT and site.path != ("block",)
        if (site.is_key and chosen) or free or (text.host and site.path == ("block",)):
            continue
        raw = text.text[site.start : site.end]
        for match in _WORD.finditer(raw):
            word = match[0]
            wrong = misspellings(word, rng)
            if len(word) < 3 or word in _SPELT or wrong == word or not _WORD.fullmatch(wrong):
                continue
            start = site.start + match.start()
            how = "key" if site.is_key else "name" if word == site.word else "expression"
            yield _replaced(
                text, start, start + len(word), wrong, "name", f"misspelt {how}", was=word
            )


def types(text: Text, rng: random.Random) -> Iterator[Mutant]:
    """Values of another type."""
    for site in sites(text.text):
        last = site.path[-1]
        if (
            site.is_key
            or last in ("doc", "paper", "family")
            or "\n" in text.text[site.start : site.end]
        ):
            continue
        if isinstance(site.node, yaml.SequenceNode):
            kind, values = "a list", ["7", "{a: 1}", "true"]
        elif isinstance(site.node, yaml.MappingNode):
            kind, values = "a map", ["7", "[1, 2]", "true"]
        elif re.fullmatch(r"\d+", site.word):
            kind, values = "an integer", ["true", "1.5", "{a: 1}", "[[1]]"]
        elif _WORD.fullmatch(site.word):
            kind, values = "a word", ["7", "true", "[[a]]", "1.5"]
        else:
            continue
        value = rng.choice(values)
        yield _replaced(text, site.start, site.end, value, "type", f"{kind} becomes {value}")


def syntax(text: Text, rng: random.Random) -> Iterator[Mutant]:
    """A character of YAML's own that is missing or too much."""
    body = text.text
    for match in re.finditer(r"[{}\[\]]", body):
        yield _replaced(text, match.start(), match.end(), "", "syntax", f"no {match[0]}")
    for match in re.finditer(r"(?<=\w): ", body):
        start = match.start()
        yield _replaced(text, start, start + 2, " ", "syntax", "no colon")
        yield _replaced(text, start, start + 2, " = ", "syntax", "= for a colon")
        quote = rng.choice("\"'")
        yield _replaced(text, start + 2, start + 2, quote, "syntax", "a quote that is not closed")
        sign = rng.choice(("&a ", "*", "!x ", "@", "`", "%"))
        yield _replaced(
            text, start + 2, start + 2, sign, "syntax", f"{sign.strip()} before a value"
        )
    for match in re.finditer(r", ", body):
        yield _replaced(text, match.start(), match.end(), " ", "syntax", "no comma")
    starts = [match.start() for match in re.finditer(r"^[ \w]", body, re.MULTILINE)]
    for start in starts[1:]:
        yield _replaced(text, start, start, "\t", "syntax", "a tab at the start of a line")
        yield _replaced(text, start, start, " ", "syntax", "a space more at the start of a line")
        if body[start] == " ":
            yield _replaced(
                text, start, start + 1, "", "syntax", "a space less at the start of a line"
            )
    for site in sites(body):
        line_end = body.find("\n", site.start)
        if site.is_key and len(site.path) == 1 and line_end > 0 and site.path[0] != "doc":
            key = site.path[0]
            mutant = _replaced(
                text, line_end + 1, line_end + 1, f"{key}: 1\n", "syntax", "a key given twice"
            )
            place = Place(mutant.place.line, 1, 1 + len(key))
            if not body[line_end + 1 : line_end + 2].isspace():
                yield Mutant("syntax", mutant.how, text.file, mutant.text, place, host=text.host)


def shapes(text: Text, rng: random.Random) -> Iterator[Mutant]:
    """Sizes changed, and shortcuts that keep the shape of their input."""
    for site in sites(text.text):
        if site.is_key or not isinstance(site.node, yaml.ScalarNode) or "," in site.word:
            continue  # an expression with a comma is quoted
        key = next((step for step in reversed(site.path) if step != "-"), "")
        if key not in _SIZES and key != "shortcut":
            continue
        for value in _other_sizes(key, site.word):
            how = f"{key}: {site.word} becomes {value}"
            yield _replaced(text, site.start, site.end, value, "shape", how)


def _other_sizes(key: str, word: str) -> list[str]:
    """What breaks shapes, sometimes: another number, another expression, another policy."""
    if key == "shortcut":
        return [each for each in ("identity", "none") if each != word]
    if re.fullmatch(r"\d+", word):
        number = int(word)
        others = (number * 2, number + 1, number * 3, max(1, number // 2), number + 2)
        return [str(each) for each in dict.fromkeys(others) if each != number]
    return [each for each in ("1", "2", f"{word} * 2", f"{word} + 1") if each != word]


MAKERS = {"name": names, "type": types, "syntax": syntax, "shape": shapes}


def drawn(kind: str, seed: int) -> list[Mutant]:
    """All mutants of a kind, in random order: files take turns."""
    rng = random.Random(seed)
    made = [list(MAKERS[kind](text, rng)) for text in texts()]
    for each in made:
        rng.shuffle(each)
    rng.shuffle(made)
    turns = max(map(len, made))
    return [each[turn] for turn in range(turns) for each in made if turn < len(each)]


# --- what is said


@dataclass(frozen=True)
class Fault:
    """A diagnostic without its source."""

    code: str
    message: str
    spans: tuple[tuple[str, int, int, int], ...]  # its own, then those of its notes
    help: str


def told(mutant: Mutant) -> tuple[Fault, ...]:
    """The faults of a mutant, as a command would find them; none if it stays valid."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        path = folder / mutant.file
        path.parent.mkdir(exist_ok=True)
        path.write_text(mutant.text, encoding="utf-8")
        if mutant.host:
            (folder / HOST).write_text(mutant.host, encoding="utf-8")
        try:
            compiled = compile_spec(folder / HOST)
            _ = compiled.checked_graph, compiled.source
        except SpecError as error:
            return tuple(_fault(each, folder) for each in error.diagnostics)
        return ()


def _fault(diagnostic: Diagnostic, folder: Path) -> Fault:
    notes = (note.span for note in diagnostic.notes)
    spans = tuple(_place(span, folder) for span in (diagnostic.span, *notes) if span)
    return Fault(diagnostic.code, diagnostic.message, spans, diagnostic.help or "")


def _place(span: Span, folder: Path) -> tuple[str, int, int, int]:
    name = span.file.removeprefix(f"{folder.as_posix()}/")
    return (name, span.line, span.column, span.end)


def is_found(mutant: Mutant, fault: Fault) -> bool:
    """Whether a fault points at what was changed; of shapes and YAML a note may do that.

    Of what was taken away, the line counts.
    """
    spans = fault.spans if mutant.kind in ("shape", "syntax") else fault.spans[:1]
    place = mutant.place
    return any(
        file == mutant.file
        and line == place.line
        and (mutant.gone or _covers(mutant.kind, place, start, end))
        for file, line, start, end in spans
    )


def _covers(kind: str, place: Place, start: int, end: int) -> bool:
    if kind == "syntax":  # a parser stumbles within, or right behind
        return start <= place.end and end >= place.start
    return start <= place.start and end >= place.end


def mends(mutant: Mutant, fault: Fault) -> bool:
    """Whether the right name is suggested."""
    return f"did you mean `{mutant.was}`" in f"{fault.message} {fault.help}"


# --- the figures


def search(count: int, seed: int, jobs: int) -> tuple[Tally, str]:
    """The figures of `count` mutants that are invalid, and the misses as text."""
    tally, misses = Tally("Mutants with one fault"), defaultdict[str, list[str]](list)
    wanted = {kind: count * percent // 100 for kind, percent in CLASSES.items()}
    _ = compile_spec("resnet18").source  # warm
    for kind, most in wanted.items():
        _search(kind, most, drawn(kind, seed), tally, misses, jobs)
    parts = [f"## {title}: {len(each)}\n\n" + "\n".join(each) for title, each in misses.items()]
    return tally, "# Mutants: what is told wrongly\n\n" + "\n\n".join(parts) + "\n"


def _search(
    kind: str,
    most: int,
    mutants: list[Mutant],
    tally: Tally,
    misses: dict[str, list[str]],
    jobs: int,
) -> None:
    count = Counter[str]()
    outcomes = run(mutants, told, limits=Limits(), jobs=jobs, batch=25)
    for outcome in watched(outcomes, len(mutants), f"mutants, {kind}"):
        mutant, faults = outcome.case, outcome.value
        if outcome.ended != DONE or faults is None:
            count["broken"] += 1
            tally.find(
                MALFORMED, f"{mutant.file}, {mutant.how}: {outcome.ended}", mutant.text.encode()
            )
            continue
        if not faults:
            count["valid"] += 1
            continue
        count["all"] += 1
        count["found"] += _noted(
            is_found(mutant, faults[0]), f"{kind}: place", mutant, faults, misses
        )
        count["few"] += _noted(
            len(faults) <= 2, f"{kind}: more than two errors", mutant, faults, misses
        )
        if mutant.was:
            count["mended"] += _noted(
                mends(mutant, faults[0]), "suggestion", mutant, faults, misses
            )
        if count["all"] >= most:
            outcomes.close()  # type: ignore[attr-defined]
            break
    where = (
        "first error or a note is there" if kind in ("shape", "syntax") else "first error is there"
    )
    tally.figures[f"{kind} faults: {where}"] = share(count["found"], count["all"])
    tally.figures[f"{kind} faults: at most two errors"] = share(count["few"], count["all"])
    if kind == "name":
        tally.figures["misspelt by a letter: the right name is suggested"] = share(
            count["mended"], count["all"]
        )
    for what, percent in WANTED.items():
        if 100 * count[what] < percent * count["all"] and (what != "mended" or kind == "name"):
            tally.find(KIND, f"{kind} faults: {what} in {share(count[what], count['all'])}", b"")
    tally.figures[f"{kind} faults: mutants that stayed valid, discarded"] = f"{count['valid']:,}"


def _noted(
    good: bool, title: str, mutant: Mutant, faults: Sequence[Fault], misses: dict[str, list[str]]
) -> bool:
    if not good:
        line = mutant.text.splitlines()[mutant.place.line - 1]
        said = "; ".join(
            f"{fault.code} at {_shown(fault)}: {fault.message}" for fault in faults[:3]
        )
        hint = f" (help: {faults[0].help})" if faults[0].help else ""
        was = f", was `{mutant.was}`" if mutant.was else ""
        place = f"{mutant.file}:{mutant.place.line}:{mutant.place.start}"
        misses[title].append(
            f"- {mutant.how}{was}, {place}: `{line.strip()}`\n  said: {said}{hint}"
        )
    return good


def _shown(fault: Fault) -> str:
    return ", ".join(f"{file}:{line}:{start}" for file, line, start, _ in fault.spans) or "no place"
