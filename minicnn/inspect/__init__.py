"""Look at what a network is and does: its layers, how its forms differ, the tape of a computation, pictures."""

from minicnn.inspect.audit import audit as audit
from minicnn.inspect.audit import stage_outputs as stage_outputs
from minicnn.inspect.augmentations import draw_augmentations as draw_augmentations
from minicnn.inspect.diff import diff as diff
from minicnn.inspect.pictures import draw_confusion as draw_confusion
from minicnn.inspect.pictures import draw_curves as draw_curves
from minicnn.inspect.pictures import draw_reliability as draw_reliability
from minicnn.inspect.pictures import draw_roc as draw_roc
from minicnn.inspect.sheets import draw_sheet as draw_sheet
from minicnn.inspect.summary import summary as summary
from minicnn.inspect.tape import draw_tape as draw_tape
from minicnn.inspect.tape import tape as tape
