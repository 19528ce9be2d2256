"""What test_fuzz asks instead of a new Python for each file: a fork for each, with the child's limits.

Reads paths, a line each; answers with what ``hdf5_child.describe`` tells, or how the fork ended.
"""

import json
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import h5py  # noqa: F401 - once for all forks

# By its file, as it is run: all of minicnn would make each fork slower.
_PLACE = Path(__file__).parents[2] / "minicnn" / "weights" / "hdf5_child.py"
_SPEC = spec_from_file_location("hdf5_child", _PLACE)
hdf5_child = module_from_spec(_SPEC)
_SPEC.loader.exec_module(hdf5_child)

SECONDS = 1

if __name__ == "__main__":
    for line in sys.stdin:
        path = line.rstrip("\n")
        reading, writing = os.pipe()
        fork = os.fork()
        if not fork:
            os.close(reading)
            hdf5_child._limit(hdf5_child.MEMORY, SECONDS)
            with open(path + ".unpacked", "wb") as other:
                told = hdf5_child.describe(path, os.path.getsize(path), other)
            with os.fdopen(writing, "w") as pipe:
                pipe.write(json.dumps(told))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            answer = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
        sys.stdout.write((answer if status == 0 else json.dumps({"ended": status})) + "\n")
        sys.stdout.flush()
