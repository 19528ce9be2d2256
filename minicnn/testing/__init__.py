"""Checks for ops and networks, of ours and of yours: gradients, twins, adjoints.

Everything here is public: write an op with ``minicnn.autograd.record`` and check it with ``gradcheck``.
"""

from minicnn.testing.gradcheck import GradientReport as GradientReport
from minicnn.testing.gradcheck import gradcheck as gradcheck
from minicnn.testing.gradcheck import pull_back as pull_back
