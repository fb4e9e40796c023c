"""Checkpoints: read, matched with a network, loaded and converted; specs inferred from them; grown.

A printed module is the PyTorch source that `resnetgen build` writes. A dialect is how another
framework names and lays out the tensors of a network.

Files:

    read              a file -> Checkpoint: its tensors by key; no code in the file is run
    safetensors_file  the header of a safetensors file; writing one beside a printed module
    hdf5              the HDF5 files of Keras, read and written
    plan_file         NAME.plan.json, which describes an optimized module

A checkpoint and a network:

    keys              keys as paths: wrappers such as `module.` stripped, keys grouped by module
    match             shapes predicted, shapes stored -> TensorMatch: which tensor comes from where
    mismatch          a TensorMatch that is not complete -> one diagnostic, with a suggested fix
    load              a TensorMatch -> the tensors of a live module

Checkpoints of other frameworks:

    dialects          the names and layouts of another framework, declared in specs/dialects
    tensor_layout     the tensors of a network as a dialect names and lays them out
    library_index     the networks of the spec library that a checkpoint may belong to, compiled on demand
    identify          keys and shapes -> the network, the dialect, the number of classes
    convert           a checkpoint in one dialect -> the checkpoint and the file in another

Beyond the spec library:

    infer/            a checkpoint of an unknown network -> its spec
    grow/             the weights of a network -> those of a deeper or wider one

torch is imported inside functions only, and most of these modules work without it: matching needs
keys, shapes and dtypes, never values.
"""
