"""Calls a script and kills its process, without a chance to clean up, at a given moment of a given write.

python killing.py PATTERN MOMENT SCRIPT OPTIONS... kills at the first write of a file whose name matches PATTERN:
"before" anything is written, "during", when half of the temporary file is on the disk, or "after" the file is whole.
"""

import os
import re
import runpy
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from common.runs import results  # noqa: E402

pattern, moment, script, *options = sys.argv[1:]
write_whole = results.write_atomically


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def write_or_be_killed(path, write, *choose):
    chosen = re.fullmatch(pattern, Path(path).name)
    if chosen and moment == "before":
        kill()

    def write_half(temporary):
        write(temporary)
        os.truncate(temporary, temporary.stat().st_size // 2)
        kill()

    write_whole(path, write_half if chosen and moment == "during" else write, *choose)
    if chosen:
        kill()


results.write_atomically = write_or_be_killed  # before any other module takes its name
if script.startswith("01"):
    from hypervae import toy

    toy.make_small()
sys.argv = [script, *options]
runpy.run_path(str(ROOT / script), run_name="__main__")
