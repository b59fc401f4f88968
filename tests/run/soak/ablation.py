"""Resume a killed training without one part at a time, and say what then differs.

``python -m tests.run.soak.ablation PART...`` prints part -> what differs; "nothing" left out is
the control. A part whose loss shows nowhere would be one that nobody needs to store.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ckptkit.testing.killing import signal_at
from tests.run.soak.driver import compare, in_child, orders_of
from tests.run.soak.training import Features, train

SCENE = Features(lr=0.5, every_steps=1, epochs=4)  # its third epoch is the best one
KILLED_AT_MARK = 32  # in the middle of the fourth, with means begun


def run_child(work):
    pid = in_child(work)
    return os.waitpid(pid, 0)[1]


def main():
    with tempfile.TemporaryDirectory() as name:
        places = Path(name)
        run_child(lambda: train(places / "truth", SCENE))
        truth = json.loads((places / "truth" / "result.json").read_text())
        orders = orders_of(places / "truth")

        def killed():
            signal_at("mark", KILLED_AT_MARK)
            train(places / "killed", SCENE)

        if not os.WIFSIGNALED(run_child(killed)):
            raise SystemExit("the training was not killed")
        found = {}
        for part in ("nothing", *sys.argv[1:]):
            folder = places / part
            shutil.copytree(places / "killed", folder)
            without = () if part == "nothing" else (part,)
            status = run_child(lambda f=folder, w=without: train(f, SCENE, w))
            ended = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
            found[part] = compare(folder, truth, orders) if ended else ["it fails"]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
