"""Look at what a network does: the tape of a computation."""

from minicnn.inspect.tape import draw_tape as draw_tape
from minicnn.inspect.tape import tape as tape
