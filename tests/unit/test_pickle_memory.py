"""A hostile pickle may not make more memory than twice its own size and 64 MB."""

import subprocess
import sys

import pytest

BOMBS = {
    "lists": "b']' * 10**6", "tuples in tuples": "b')' + b'\\x85' * 10**6", "marks": "b'(' * 10**6",
    "memo": "b'N' + b'\\x94' * 10**6", "names": "b''.join(b'cm%d\\nC\\n' % i for i in range(200_000))",
    "calls": "b'cm\\nC\\nq\\x000' + b'h\\x00)R' * 500_000", "extensions": "b'\\x82\\x01' * 500_000",
    "encoded often": "b'c_codecs\\nencode\\nq\\x000X\\0\\0\\x10\\0' + b'a' * 2**20 + b'q\\x01X\\6\\0\\0\\0latin1q\\x02' + b'h\\0h\\1h\\2\\x86R' * 20_000",
    "copied often": "b'c__builtin__\\nlist\\nq\\x000(' + b'N' * 100_000 + b'lq\\x01' + b'h\\0h\\1\\x85R' * 20_000",
    "sets copied often": "b'c__builtin__\\nset\\nq\\x000(' + b''.join(b'M%c%c' % (i % 256, i >> 8) for i in range(60_000)) + b'lq\\1' + b'0h\\0h\\1\\x85R' * 3000",
    "far memo": "b'N' + b''.join(b'r' + i.to_bytes(4, 'big') for i in range(300_000))",
    "dtypes": "b'cnumpy\\ndtype\\nq\\0(U\\3V12\\x89\\x88tR(K\\3U\\1|N(' + b''.join(b'U\\x09a%08d' % i for i in range(2000)) + b'tq\\1}(' + b''.join(b'U\\x09a%08dh\\0(U\\2f4\\x89\\x88tRK\\0\\x86' % i for i in range(2000)) + b'uq\\2M\\xff\\xffK\\1K\\0tb' + b'0h\\0(U\\3V12\\x89\\x88tR(K\\3U\\1|Nh\\1h\\2M\\xff\\xffK\\1K\\0tb' * 20_000",
}  # fmt: skip
PROGRAM = """
import resource, sys
from ckptkit.containers.pickle_vm import read_pickle
from ckptkit.containers.trace import Tracer
from ckptkit.errors import ContainerError
from ckptkit.types import DEFAULT_LIMITS
data = eval(sys.argv[1]) + b"."
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_pickle(data, stream="bomb", tracer=Tracer("bomb"), limits=DEFAULT_LIMITS)
except ContainerError:
    pass
print(len(data), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="resource.getrusage is POSIX")
@pytest.mark.parametrize("name", sorted(BOMBS))
def test_bombs_stay_small(name):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, BOMBS[name]],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    nbytes, used = map(int, done.stdout.split())
    assert used < 2 * nbytes + (64 << 20)
