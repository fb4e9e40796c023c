"""How fast a network runs, compared with other ways to run it: `resnetgen bench`.

    measure(BenchmarkConfig(...), progress)   ->  Results: for each batch, dtype and side, times, memory
                                                  and error
    text_tables(results), svg(results)        ->  tables, and a plot

A side is one contender of a benchmark, a way to run the network (`sides.yaml`): by resnetgen, in eager
mode, by torch.compile, by a peer, that is, another library with its own implementation. Everything is measured in worker processes
(`python -m resnetgen.runtime.bench`, with a request on stdin), which start without the compiler:

    here         run.py decides what to measure; process.py starts a worker and reads its answer
    in a worker  __main__.py answers; prepare.py makes weights and images; build.py builds a side;
                 timing.py measures it
    afterwards   results.py stores figures; table.py and plot.py show them
"""
