import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


@pytest.fixture(autouse=True)
def one_seed():
    """Initial weights do not differ between runs of the tests (where TensorFlow is loaded at all)."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)
