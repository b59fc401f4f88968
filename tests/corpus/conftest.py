"""Where the real checkpoints are; ``make corpus`` brings them."""

import gzip
import json
import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TRUTH = json.loads(gzip.decompress((HERE / "truth.json.gz").read_bytes()))


def corpus_folder():
    default = Path(__file__).parents[2] / ".cache" / "corpus"
    return Path(os.environ.get("CKPTKIT_CORPUS", default)).absolute()


@pytest.fixture(scope="session")
def corpus():
    folder = corpus_folder()
    if not folder.is_dir():
        pytest.fail(f"{folder} is missing: run `make corpus`, or set CKPTKIT_CORPUS")
    return folder


@pytest.fixture(params=sorted(TRUTH))
def case(request, corpus):
    """A real file, and what torch itself once read in it."""
    return corpus / request.param, TRUTH[request.param]
