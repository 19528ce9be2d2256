"""Training: optimisers, schedules, the loop, checkpoints, and how good the result is."""

from minicnn.train import schedules as schedules
from minicnn.train.adam import Adam as Adam
from minicnn.train.adam import AdamW as AdamW
from minicnn.train.optimizer import Optimizer as Optimizer
from minicnn.train.rmsprop import RMSprop as RMSprop
from minicnn.train.sgd import SGD as SGD
