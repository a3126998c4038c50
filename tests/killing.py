"""Calls scripts in processes that are killed, without a chance to clean up, at a given moment of a given write.

Reads a JSON list a line: pattern, moment, script, options. The process is killed at the first write of a file whose
name matches the pattern: "before" anything is written, "during", when half of the temporary file is on the disk, or
"after" the file is whole; a name that no file has lets it end. The networks of 01 and 08 are small. Answers with the
process' exit code. What takes long to load is loaded once, and each process is a fork: nothing of ours is loaded
before it, and nothing of TensorFlow has been used.
"""

import json
import os
import re
import runpy
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def call_and_be_killed(pattern, moment, script, *options):
    from common.runs import storage

    write_whole = storage.write_atomically

    def write_or_be_killed(path, write, *elsewhere):
        chosen = re.fullmatch(pattern, Path(path).name)
        if chosen and moment == "before":
            kill()

        def write_half(temporary):
            write(temporary)
            os.truncate(temporary, temporary.stat().st_size // 2)
            kill()

        write_whole(path, write_half if chosen and moment == "during" else write, *elsewhere)
        if chosen:
            kill()

    storage.write_atomically = write_or_be_killed  # before any other module takes its name
    if script[:2] in ("01", "08"):  # 06 has nothing that XLA compiles, 10 reads a network of full size
        from hypervae import toy

        toy.make_small()
    sys.argv = [script, *options]
    runpy.run_path(str(ROOT / script), run_name="__main__")


def main():
    import keras  # noqa: F401  and with it TensorFlow
    import matplotlib.pyplot  # noqa: F401
    import scipy.stats
    import sklearn.datasets
    import tensorflow_probability

    assert tensorflow_probability.distributions  # which loads it, as scipy.stats and sklearn.datasets are loaded
    assert scipy.stats and sklearn.datasets
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os.dup2(2, 1)  # what the script says is no answer
            call_and_be_killed(*json.loads(line))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
