"""The spec of a checkpoint, inferred from its keys and shapes by analysis through synthesis.

Hypotheses are proposed, compiled and compared with the file:

    checkpoint       the evidence: a file -> keys and shapes, without wrappers
    design           a hypothesis: a library network with overrides, and the tensors it predicts
    prune            which designs can be ruled out without solving
    families         the networks of the library that differ only in numbers
    hyperparameters  the numbers of a spec that may explain shapes
    solve            which depths and hyperparameters give the shapes of the file
    components       the stem of one network, the block of another
    search           all of it: checkpoint -> SearchResult, the designs that fit exactly
    candidates       what in the file each change follows from, and how candidates differ

The spec of a candidate is written by `variants/inferred_spec.py`. Non-goals: nothing is looked up
by name or hash.
"""
