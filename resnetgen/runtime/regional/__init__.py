"""torch.compile by regions: equal blocks are compiled once.

    fingerprint   what a module computes, without the values of its weights: equal blocks have one key
    partition     a network -> regions, each an equal block or what lies between two of them
    kernels       a region -> a compiled function of weights and inputs, its kernels built in parallel
    compile       a network -> the same network, whose calls run these functions; or one whole graph

It works on any torch.nn.Module that accepts one tensor, and reads nothing of the spec.
"""
