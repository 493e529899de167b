"""Our own pool programs: C source, the compiled sBPF file and its checksum, and how it is built."""
