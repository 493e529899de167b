"""Where the CPU time and the memory of a measured window went: sampled stacks, flame graphs, traces of one sample."""
