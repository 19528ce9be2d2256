"""The matrix product in every form that its operands may have, and for every way that it takes."""

import numpy as np
import pytest

import minicnn
from minicnn.kernels.gemm import DEPTH, FEW_ROWS, THIN, THIN_DEPTH, matmul

# (m, k, n): few rows, in place; a thin batch; all others; each with ends that fill no vector, tile, panel or block
SIZES = [
    (1, 1, 1), (1, 9, 2100), (2, 77, 50), (FEW_ROWS, 30, 1030), (FEW_ROWS + 1, 300, 33), (32, 40, 70),
    (THIN, THIN_DEPTH + 3, 100), (THIN + 1, 120, 84), (100, 2 * DEPTH + 1, 250), (230, 20, 7), (5, 0, 3), (0, 4, 3),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_products(sizes, dtype):
    m, k, n = sizes
    rng = np.random.default_rng(3)
    a, b, start = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (k, n), (n,)))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    tolerance = (3e-6 if dtype == np.float32 else 1e-14) * (1 + np.sqrt(k)) * 2
    threads = minicnn.get_num_threads()
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            for first in (None, start):
                results = []
                try:
                    for number in (1, 2):
                        minicnn.set_num_threads(number)
                        results.append(matmul(left, right, first))
                finally:
                    minicnn.set_num_threads(threads)
                np.testing.assert_array_equal(*results)
                assert results[0].dtype == dtype
                expected = exact if first is None else exact + start
                np.testing.assert_allclose(results[0], expected, rtol=0, atol=tolerance)
