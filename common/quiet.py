"""What scripts do not say: TensorFlow's start-up notes, and a notebook's choice of a figure window."""

import contextlib
import importlib.abc
import importlib.util
import os
import sys


def set_up():
    """Silence TensorFlow's start, whenever it is imported; draw figures without a window. Errors still show."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["MPLBACKEND"] = "Agg"  # a notebook's own backend is not there in its scripts
    if "tensorflow" not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Imports TensorFlow with the process' stderr closed: its libraries write there before they can be told not to."""

    def find_spec(self, name, path, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: _quietly(load, module)
        return spec


def _quietly(load, module):
    with contextlib.ExitStack() as stack:
        try:
            saved = os.dup(2)
        except OSError:  # no stderr at all
            return load(module)
        stack.callback(os.close, saved)
        stack.callback(os.dup2, saved, 2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, nowhere)
        os.dup2(nowhere, 2)
        return load(module)
