"""Orders of execution, and what is alive while they run.

    reads_among(["a", "b", "c"], [["x"], ["a"], ["a", "b"]])  ->  [[], [0], [0, 1]]
    stable_order([[2], [], [1]])                              ->  [1, 2, 0]
    find_cycle([[1], [0]])                                    ->  [0, 1]
    last_reads([["x"], ["a"], ["a", "b"]])                    ->  {"x": 0, "a": 2, "b": 2}

Functions over indices: `reads[i]` are the indices of what i reads.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence

# --- who reads whom


def reads_among(keys: Iterable[str], inputs: Iterable[Iterable[str]]) -> list[list[int]]:
    """For each key, the indices of the keys that it reads; other inputs are ignored."""
    producers = {key: index for index, key in enumerate(keys)}
    return [[producers[name] for name in each if name in producers] for each in inputs]


def needed_for(outputs: Iterable[str], inputs: Mapping[str, Iterable[str]]) -> set[str]:
    """The keys that some outputs are computed from, directly or not, given the inputs of each."""
    needed, todo = set[str](), list(outputs)
    while todo:
        key = todo.pop()
        if key in inputs and key not in needed:
            needed.add(key)
            todo += inputs[key]
    return needed


# --- orders


def stable_order(
    reads: Sequence[Sequence[int]], ranks: Sequence[int] | None = None
) -> list[int] | None:
    """A topological order that follows the ranks (by default the given order) where it can.

    None if there is a cycle.
    """
    ranks = ranks if ranks is not None else range(len(reads))
    readers: list[list[int]] = [[] for _ in reads]
    waiting = [len(set(each)) for each in reads]
    for reader, each in enumerate(reads):
        for producer in set(each):
            readers[producer].append(reader)
    ready = [(ranks[index], index) for index, count in enumerate(waiting) if count == 0]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, index = heapq.heappop(ready)
        order.append(index)
        for reader in readers[index]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, (ranks[reader], reader))
    return order if len(order) == len(reads) else None


def find_cycle(reads: Sequence[Sequence[int]]) -> list[int]:
    """The shortest cycle through the first index that is on one, each before what it reads."""
    import networkx

    graph = networkx.DiGraph((reader, each) for reader, row in enumerate(reads) for each in row)
    loops = [node for node in graph if graph.has_edge(node, node)]
    knots = [knot for knot in networkx.strongly_connected_components(graph) if len(knot) > 1]
    start = min([*loops, *(node for knot in knots for node in knot)])
    if start in loops:
        return [start]
    back = (each for each in graph.successors(start) if networkx.has_path(graph, each, start))
    paths = (networkx.shortest_path(graph, each, start) for each in back)
    shortest: list[int] = min(paths, key=len)
    return [start, *shortest[:-1]]


# --- liveness


def last_reads(reads: Sequence[Sequence[str]]) -> dict[str, int]:
    """The last step that reads each value."""
    return {name: step for step, names in enumerate(reads) for name in names}


def live_values(
    made: Sequence[Sequence[str]], until: Mapping[str, int]
) -> Iterator[tuple[str, ...]]:
    """The values that are alive while each step runs, in the order in which they were made.

    `made`: the values that each step adds. `until`: the last step during which each is alive.
    """
    alive: tuple[str, ...] = ()
    for step, new in enumerate(made):
        alive = (*alive, *new)
        yield alive
        alive = tuple(name for name in alive if until[name] > step)
