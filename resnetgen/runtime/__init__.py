"""Everything that needs torch: loading, verifying, compiling and timing printed modules.

    load            printed text -> a live module
    trace           a live module -> the events of one call, by Dynamo or by torch.fx
    verify          every prediction of the compiler, checked against such a trace
    compile_check   torch.compile against eager execution, on a device
    compare         two modules on random images; random norms under which that is meaningful
    inference       the module of the inference target: folded weights; rounding for few bits
    plans           such a module stored in files, and loaded from them
    cuda_graph      a module compiled whole and captured in a CUDA graph
    regional/       torch.compile with equal blocks compiled once
    bench/          `resnetgen bench`: times, memory and errors, in processes of their own

errors, dtypes  used by all of these

torch is imported by the modules of this package, and not by the package itself.
"""
