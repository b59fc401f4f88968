"""Several writers and a reader at one target: what is there is always one whole checkpoint."""

from __future__ import annotations

import os
import traceback

import pytest

from ckptkit.errors import TargetExistsError
from ckptkit.testing.faults import intercepted, lacking
from tests.faults.scene import NEW, OLD, prepare, read, save

ROUNDS = 12
SYSTEMS = pytest.mark.parametrize(
    "system", [lacking(), lacking("renameat2")], ids=["modern", "no-renameat2"]
)


def in_child(work) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def end_of(pids: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def small(seed: int) -> dict[str, bytes]:
    return {"model.safetensors": b"%d" % seed * 5000, "manifest.msgpack": b"%d" % seed}


@SYSTEMS
def test_writers_that_replace_the_same_target_all_succeed(tmp_path, system):
    target = prepare(tmp_path / "run", OLD)

    def writer(seed: int):
        def work() -> None:
            with intercepted(system):
                for _ in range(ROUNDS):
                    save(target, small(seed), replace=True)

        return work

    assert end_of([in_child(writer(seed)) for seed in range(4)]) == [0, 0, 0, 0]
    assert read(target) in [small(seed) for seed in range(4)]
    assert os.listdir(target.parent) == [target.name]


@SYSTEMS
def test_of_writers_that_do_not_replace_exactly_one_wins(tmp_path, system):
    for _ in range(ROUNDS):
        target = prepare(tmp_path / "run", None)

        def work(t=target) -> None:
            try:
                with intercepted(system):
                    save(t, small(os.getpid()), replace=False)
            except TargetExistsError:
                os._exit(7)

        pids = [in_child(work) for _ in range(3)]
        codes = end_of(pids)
        assert sorted(codes) == [0, 7, 7]
        assert read(target) == small(pids[codes.index(0)])
        assert os.listdir(target.parent) == [target.name]


def test_a_reader_never_finds_the_target_missing(tmp_path):
    target = prepare(tmp_path / "run", OLD)
    pid = in_child(lambda: [save(target, NEW, replace=True) for _ in range(ROUNDS)])
    looks = 0
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        assert (target / "manifest.msgpack").exists()
        looks += 1
    assert looks > ROUNDS
    assert read(target) == NEW
