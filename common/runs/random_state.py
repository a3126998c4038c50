"""The global random generators of Python and NumPy, which libraries draw from."""

import contextlib
import random

import numpy as np


@contextlib.contextmanager
def own_random_state():
    """Whatever is seeded inside, the caller's global generators go on as if it had not been."""
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
