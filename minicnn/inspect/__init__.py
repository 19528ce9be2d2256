"""Look at what a network does: the tape of a computation, the pictures of a training run."""

from minicnn.inspect.pictures import draw_confusion as draw_confusion
from minicnn.inspect.pictures import draw_curves as draw_curves
from minicnn.inspect.tape import draw_tape as draw_tape
from minicnn.inspect.tape import tape as tape
