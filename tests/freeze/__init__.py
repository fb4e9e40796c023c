"""The freeze: what the command line prints, held byte for byte while the code under it moves.

    python -m tests.freeze write DIR           writes every output into a new folder
    python -m tests.freeze compare HEAD~3      what differs between that revision and this tree
    python -m tests.freeze compare DIR         the same, from outputs that were written before
    python -m tests.freeze compare HEAD --only 'resnet50*'

`outputs.py` is the list of what is frozen. Nothing but `resnetgen.cli.main` is called, so this
script runs on any revision, whatever lies where under `resnetgen/`; specs of the library are those
of the tree under test, specs of the tests always those beside this script. Torch is not needed.
"""
