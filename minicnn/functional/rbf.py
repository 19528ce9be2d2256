"""LeNet-5's output layer: squared distances to the code of each class."""

from __future__ import annotations

from minicnn.autograd import Tensor, record
from minicnn.errors import ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import twin


def rbf(input: Input, codes: Input) -> Tensor:
    """Return how far the features are from the code of each class: ``sum over j of (input_j - codes_ij)²``.

    Parameters
    ----------
    input : Tensor or array, shape (N, features)
    codes : Tensor or array, shape (classes, features)
        In LeNet-5 ten fixed pictures of 7 x 12 pixels of -1 and +1.

    Returns
    -------
    Tensor, shape (N, classes)
        The predicted class is the one with the smallest distance.

    Raises
    ------
    ShapeError
        If the numbers of features differ, or one of the arrays has not two axes.
    DTypeError
        If the arrays are not both float32 or both float64.

    Notes
    -----
    LeCun et al. 1998, section II.B, equation 7.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.rbf(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0], [-1.0, 1.0]])).numpy()
    array([[1., 5.]])
    """
    op = "rbf"
    x, w = check.tensor(op, "input", input), check.tensor(op, "codes", codes)
    check.same_dtype(op, input=x, codes=w)
    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[1] or 0 in w.shape:
        raise ShapeError(
            f"{op}: input must be (N, features) and codes (classes, features), all but N >= 1, "
            f"got {x.shape} and {w.shape}"
        )

    k = twin(op)
    xa, wa = x.array, w.array
    return record(
        op,
        k.rbf_forward(xa, wa),
        (x, lambda grad_out: k.rbf_grad_input(grad_out, xa, wa)),
        (w, lambda grad_out: k.rbf_grad_codes(grad_out, xa, wa)),
    )
