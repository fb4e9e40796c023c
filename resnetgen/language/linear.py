"""linear(orders): one order out of several, that of the files which a spec extends.

    extends: [resnet50d, resnet101]  ->  resnet50, resnet50c, resnet50d, resnet101

Each file stands once, after all that it extends, and lists keep their order. This is how Python
orders the bases of a class, read from behind: there the first named wins, here the last.
"""

from __future__ import annotations

from collections.abc import Sequence


def linear(orders: Sequence[Sequence[str]]) -> list[str] | None:
    """An order that holds all of several; None where they contradict each other.

        [a, b], [a, c], [b, c]  ->  [a, b, c]

    What they leave open goes by the later of them, which stands last. This is C3 (Barrett et al.,
    "A Monotonic Superclass Linearization for Dylan", OOPSLA 1996, section 2).
    """
    found: list[str] = []
    left = [list(each) for each in orders if each]
    while left:
        lasts = (each[-1] for each in reversed(left))
        last = next((n for n in lasts if not any(n in each[:-1] for each in left)), None)
        if last is None:
            return None
        found.insert(0, last)
        left = [rest for each in left if (rest := [n for n in each if n != last])]
    return found
