"""The textbook: every op as the loops of its definition, in plain Python on NumPy arrays.

The functions have the names and signatures of their fast twins in the folder above. A gradient is the same
loops with the last line turned round: where the forward pass reads ``x`` and adds to ``out``, the backward
pass reads ``grad_out`` and adds to ``grad_input``. Any dtype works, complex too, so that a derivative
can be taken by a complex step.
"""
