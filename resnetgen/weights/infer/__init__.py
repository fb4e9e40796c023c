"""The spec of a checkpoint, inferred from its keys and shapes by analysis through synthesis.

    held      file -> Held: keys and shapes, without wrappers, in the network's own names
    design    a network of the library with some values set anew, and what it predicts
    families  the networks of the library that differ in numbers alone
    depth     how many blocks each stage has, by the paths that exist
    solve     which numbers give the shapes of the file
    parts     the stem of one network, the blocks of another
    search    all of it: Held -> Outcome, the candidates that fit exactly
    apart     what tells candidates apart where keys do not
    spec      a candidate -> the YAML of its spec, with the reasons

No network is known by name here, and no hash is looked up.
"""
