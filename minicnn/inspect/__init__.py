"""Look at what a network does: pictures of a training run."""

from minicnn.inspect.pictures import confusion_matrix as confusion_matrix
from minicnn.inspect.pictures import draw_confusion as draw_confusion
from minicnn.inspect.pictures import draw_curves as draw_curves
