"""Training: optimisers, schedules, the loop, checkpoints, and how good the result is.

Read fit.py first; then any optimiser, which is its formula.
"""

from minicnn.train import schedules as schedules
from minicnn.train.adam import Adam as Adam
from minicnn.train.adam import AdamW as AdamW
from minicnn.train.callback import Callback as Callback
from minicnn.train.callback import KeepBest as KeepBest
from minicnn.train.callback import Run as Run
from minicnn.train.checkpoint import Checkpoint as Checkpoint
from minicnn.train.evaluation import Measures as Measures
from minicnn.train.evaluation import measure as measure
from minicnn.train.fit import Evaluation as Evaluation
from minicnn.train.fit import evaluate as evaluate
from minicnn.train.fit import fit as fit
from minicnn.train.history import History as History
from minicnn.train.history import Row as Row
from minicnn.train.interrupt import Interrupted as Interrupted
from minicnn.train.metrics import accuracy as accuracy
from minicnn.train.metrics import confusion_matrix as confusion_matrix
from minicnn.train.metrics import per_class_table as per_class_table
from minicnn.train.metrics import top_k_accuracy as top_k_accuracy
from minicnn.train.optimizer import Optimizer as Optimizer
from minicnn.train.recipe import make_optimizer as make_optimizer
from minicnn.train.recipe import make_schedule as make_schedule
from minicnn.train.rmsprop import RMSprop as RMSprop
from minicnn.train.run_folder import load_checkpoint as load_checkpoint
from minicnn.train.sgd import SGD as SGD
from minicnn.train.stochastic_diagonal_levenberg_marquardt import (
    StochasticDiagonalLevenbergMarquardt as StochasticDiagonalLevenbergMarquardt,
)
