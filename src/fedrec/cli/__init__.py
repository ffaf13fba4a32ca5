"""The command `fedrec`."""

import os

# One BLAS thread, set before numpy loads: results do not depend on the machine's cores, and several small products at a
# time are faster than threads that wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from fedrec.cli.app import main

__all__ = ["main"]
