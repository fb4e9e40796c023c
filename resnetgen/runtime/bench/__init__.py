"""How fast a network is, and beside what: `resnetgen bench`.

measure(Question(...))   ->  Results: for each batch, dtype and side, times, memory and error
text(results)            ->  tables;  svg(results)  ->  a plot

A side is a way to run the network (`sides.yaml`). What is measured runs in processes of its own
(`python -m resnetgen.runtime.bench`, a request on stdin), so that nothing here imports torch: `request.py`,
`process.py` and `run.py` ask, `__main__.py`, `prepare.py`, `build.py` and `timing.py` answer.
"""
