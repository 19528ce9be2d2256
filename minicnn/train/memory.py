"""Will a training step fit into this machine's memory?"""

from __future__ import annotations

import math
import os
from typing import Any

from minicnn.errors import OptionError
from minicnn.inspect.summary import summary


def check_memory(model: Any, batch_size: int) -> None:
    """Refuse a batch that no memory holds, which the system would end with a kill and no word.

    Counted are the outputs of all layers that learn, which are kept for backward, and their parameters with gradient
    and the optimiser's state. That is some 15 % too low.

    Parameters
    ----------
    model : Module
        Of ``models.create``, which knows the size of its images; what is frozen keeps nothing.
    batch_size : int

    Raises
    ------
    OptionError
        If it does not fit; the message has a batch that does.
    """
    if getattr(model, "size", 0) < 64 or not hasattr(os, "sysconf"):
        return
    layers = {path for path, module in model.named_modules() if not any(module.children()) and not module.frozen}
    outputs = sum(math.prod(row.output[1:]) for row in summary(model) if row.path in layers)
    learnt = sum(parameter.size for parameter in model.parameters() if parameter.requires_grad)
    needed = 4 * (batch_size * outputs + 4 * learnt) / 2**30
    present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    if needed > 0.9 * present:  # the system wants a share too
        fitting = max(int(batch_size * present / needed / 2), 1)
        raise OptionError(
            f"a batch of {batch_size} images of {model.size} x {model.size} needs about {needed:.0f} GiB of "
            f"memory, and this machine has {present:.0f}: choose --batch-size {fitting} or less"
        )
