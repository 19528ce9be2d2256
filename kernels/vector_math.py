from minicnn.kernels.jit import kernel
