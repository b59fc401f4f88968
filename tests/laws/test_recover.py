"""The laws of ``recover``: exactly the whole tensors, to the bit, and never a damaged one."""

import shutil
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from ckptkit.verbs.migrate import migrate
from tests.laws.recovery import (
    Outcome,
    contents,
    legacy_spans,
    safetensors_spans,
    training_dict,
    zip_spans,
)

STEP = 64 << 10
LAW = settings(max_examples=150, deadline=None)


class Original:
    """A whole file, what is in it, and where each of its storages lies."""

    def __init__(self, path, spans_of):
        self.path, self.data = path, path.read_bytes()
        self.tensors = contents(path)
        sizes = {}
        for (_, shape, _), key in self.tensors.values():
            sizes.setdefault(key, 0 in shape)
        self.empty = {key for key, is_empty in sizes.items() if is_empty}
        self.spans = spans_of(self)

    def whole(self, is_whole):
        """The tensors of every storage whose span ``is_whole``, by their places."""
        return {
            place: told
            for place, (told, key) in self.tensors.items()
            if key in self.empty or is_whole(*self.spans[key])
        }

    def untouched(self, *places):
        """Those in whose bytes none of these offsets lies."""
        return self.whole(lambda start, stop: not any(start <= at < stop for at in places))


def spans_in_zip(original):
    found = zip_spans(original.path)
    return {name.removeprefix("data/"): s for name, s in found.items() if name.startswith("data/")}


def spans_in_legacy(original):
    sizes = {}
    from ckptkit.verbs.open import load

    with load(original.path) as checkpoint:
        for one in checkpoint.tensors():
            sizes[one.node.storage.key] = one.node.storage.nbytes
    return legacy_spans(original.path, sizes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("originals")


@pytest.fixture(scope="module")
def large_zip(folder):
    torch.save(training_dict(), folder / "large.pt")
    return Original(folder / "large.pt", spans_in_zip)


@pytest.fixture(scope="module")
def large_legacy(folder):
    torch.save(training_dict(), folder / "legacy.pt", _use_new_zipfile_serialization=False)
    return Original(folder / "legacy.pt", spans_in_legacy)


@pytest.fixture(scope="module")
def large_safetensors(folder):
    state = {name: t.clone() for name, t in training_dict()["model"].items()}
    save_file(state, folder / "large.safetensors")
    spans = safetensors_spans(folder / "large.safetensors")
    return Original(folder / "large.safetensors", lambda _: spans)


@pytest.fixture(scope="module")
def small_zip(folder):
    torch.save(training_dict(16, 2), folder / "small.pt")
    return Original(folder / "small.pt", spans_in_zip)


@pytest.fixture(scope="module")
def small_seal(folder):
    torch.save(training_dict(16, 2), folder / "source.pt")
    migrate(folder / "source.pt", folder / "seal")
    return contents(folder / "seal")


def recovered(data, name="cut.pt"):
    """What comes out of a file with these bytes."""
    with tempfile.TemporaryDirectory() as room:
        path = Path(room) / name
        path.write_bytes(data)
        return Outcome(path, Path(room) / "saved")


def require_exactly(outcome, expected, everything):
    """What was saved is what was whole, and what is not is lost by its name."""
    if not any(0 not in shape for _, shape, _ in expected.values()):
        assert outcome.error is not None  # no byte of any tensor: nothing is written
        return
    assert outcome.saved == expected
    names = {"/".join(str(key) for key in place) for place in everything if place not in expected}
    assert {one.name for one in outcome.report.lost} == names
    assert all(one.reason for one in outcome.report.lost)


def pickle_stop(original):
    return zip_spans(original.path)["data.pkl"][1]


def test_a_torch_zip_cut_at_every_64_kib_gives_exactly_its_whole_tensors(large_zip):
    cuts = range(STEP, len(large_zip.data), STEP)
    assert len(cuts) >= 60
    for cut in cuts:
        outcome = recovered(large_zip.data[:cut])
        whole = large_zip.whole(lambda _, stop, cut=cut: stop <= cut)
        require_exactly(outcome, whole, large_zip.tensors)


def test_a_torch_zip_cut_beside_the_end_of_any_record_gives_exactly_its_whole_tensors(small_zip):
    ends = {stop for _, stop in zip_spans(small_zip.path).values()}
    for cut in sorted({end + shift for end in ends for shift in (-1, 0, 1, 4, 8, 15, 16)}):
        outcome = recovered(small_zip.data[:cut])
        if cut < pickle_stop(small_zip):
            assert outcome.error is not None
            continue
        whole = small_zip.whole(lambda _, stop, cut=cut: stop <= cut)
        require_exactly(outcome, whole, small_zip.tensors)


def test_without_its_directory_everything_comes_back_and_nothing_is_doubted(large_zip):
    cut = large_zip.data.index(b"PK\x01\x02", max(stop for _, stop in large_zip.spans.values()))
    outcome = recovered(large_zip.data[:cut])
    assert outcome.saved == large_zip.untouched()
    assert outcome.report.finding() is None


@pytest.mark.parametrize("zeros", [1, 4096, 1 << 20])
def test_zeros_where_a_crash_left_them_are_no_tensor(large_zip, zeros):
    for cut in range(STEP, len(large_zip.data), 8 * STEP):
        data = large_zip.data[:cut] + bytes(min(zeros, len(large_zip.data) - cut))
        outcome = recovered(data)
        # A storage whose own last bytes are the zeros may be whole; its checksum decides.
        whole = large_zip.whole(lambda _, stop, cut=cut: stop + 8 <= cut)
        require_exactly(outcome, whole, large_zip.tensors)


def test_what_stands_before_an_archive_does_not_hide_it(small_zip):
    outcome = recovered(b"some log line\n" * 7 + small_zip.data)
    assert outcome.saved == small_zip.untouched()


def test_a_legacy_file_cut_at_every_64_kib_gives_exactly_its_whole_tensors(large_legacy):
    for cut in range(STEP, len(large_legacy.data), STEP):
        outcome = recovered(large_legacy.data[:cut])
        whole = large_legacy.whole(lambda _, stop, cut=cut: stop <= cut)
        require_exactly(outcome, whole, large_legacy.tensors)


def test_a_safetensors_file_cut_at_every_64_kib_gives_exactly_its_whole_tensors(large_safetensors):
    for cut in range(STEP, len(large_safetensors.data), STEP):
        outcome = recovered(large_safetensors.data[:cut], "cut.safetensors")
        original = large_safetensors
        whole = {
            place: told
            for place, (told, _) in original.tensors.items()
            if original.spans[place[-1]][1] <= cut
        }
        require_exactly(outcome, whole, original.tensors)


def flipped(data, flips):
    out = bytearray(data)
    for at, bit in flips:
        out[at % len(out)] ^= 1 << bit
    return bytes(out)


FLIP = st.tuples(st.integers(0, 1 << 30), st.integers(0, 7))


@LAW
@given(flip=FLIP)
@example(flip=(0, 0))  # the mark of the first header
@example(flip=(26, 3))  # the length of its name
def test_one_changed_bit_of_a_torch_zip_takes_only_the_tensors_that_it_is_in(small_zip, flip):
    data = flipped(small_zip.data, [flip])
    at = flip[0] % len(data)
    start, stop = zip_spans(small_zip.path)["data.pkl"]
    outcome = recovered(data)
    if start <= at < stop:  # names, shapes and views may be others: that is said
        assert outcome.error is not None or outcome.report.guessed
        return
    require_exactly(outcome, small_zip.untouched(at), small_zip.tensors)


@LAW
@given(flips=st.lists(FLIP, min_size=2, max_size=6), cut=st.integers(0, 1 << 30))
def test_no_damaged_tensor_passes_for_a_whole_one(small_zip, flips, cut):
    start, stop = zip_spans(small_zip.path)["data.pkl"]
    size = len(small_zip.data)
    data = flipped(small_zip.data, flips)[: cut % size + 1]
    places = [at for at, pair in enumerate(zip(data, small_zip.data)) if pair[0] != pair[1]]
    outcome = recovered(data)
    if any(start <= at < stop for at in places):
        assert outcome.error is not None or outcome.report.guessed
        return
    byteorder = zip_spans(small_zip.path)["byteorder"]
    if any(byteorder[0] - 100 <= at < byteorder[1] + 24 for at in places):
        return  # how the elements are laid out is a guess then, and told as one
    records = {sha256(small_zip.data[a:b]).hexdigest() for a, b in small_zip.spans.values()}
    for place, told in outcome.saved.items():
        if place[:2] == ("extra", "recovered_storages"):  # its name is lost, its bytes are not
            assert told[2] in records
        else:
            assert told == small_zip.tensors[place][0]


@LAW
@given(flip=FLIP)
def test_one_changed_bit_in_the_data_of_a_sealed_folder_takes_only_its_tensor(
    small_seal, folder, flip
):
    with tempfile.TemporaryDirectory() as room:
        copy = Path(room) / "seal"
        shutil.copytree(folder / "seal", copy)
        files = sorted(copy.glob("*.safetensors"))
        file = files[flip[0] % len(files)]
        at = (flip[0] // len(files)) % file.stat().st_size
        spans = safetensors_spans(file)
        file.write_bytes(flipped(file.read_bytes(), [(at, flip[1])]))
        outcome = Outcome(copy, Path(room) / "saved")
    hit = {name for name, (start, stop) in spans.items() if start <= at < stop}
    missing = small_seal.keys() - outcome.saved.keys()
    assert all(outcome.saved[place] == small_seal[place][0] for place in outcome.saved)
    ties = {place for place in small_seal if {small_seal[place][1]} & hit}
    assert missing == {place for place in ties if place[0] == file.stem}


@LAW
@given(flip=FLIP)
def test_one_changed_bit_of_a_manifest_gives_out_no_wrong_tensor_and_is_told(
    small_seal, folder, flip
):
    with tempfile.TemporaryDirectory() as room:
        copy = Path(room) / "seal"
        shutil.copytree(folder / "seal", copy)
        manifest = copy / "manifest.msgpack"
        manifest.write_bytes(flipped(manifest.read_bytes(), [flip]))
        outcome = Outcome(copy, Path(room) / "saved")
    if outcome.error is None:
        assert outcome.report.finding() is not None
        digests = {told[2] for told, _ in small_seal.values()}
        assert {told[2] for told in outcome.saved.values()} <= digests


@LAW
@given(flip=FLIP)
@example(flip=(0, 0))
@example(flip=(1, 4))
def test_a_changed_bit_in_a_safetensors_header_moves_no_tensor_unsaid(small_safetensors, flip):
    data = small_safetensors.data
    at = flip[0] % (8 + int.from_bytes(data[:8], "little"))
    outcome = recovered(flipped(data, [(at, flip[1])]), "flip.safetensors")
    bytes_of = {told[2] for told, _ in small_safetensors.tensors.values()}
    if outcome.error is None and outcome.report.finding() is None:
        # Nothing guards a letter of a name or a dtype of the same width; the bytes stay themselves.
        assert {told[2] for told in outcome.saved.values()} == bytes_of


@pytest.fixture(scope="module")
def small_safetensors(folder):
    save_file(dict(training_dict(16, 2)["dtypes"].items()), folder / "small.safetensors")
    return Original(folder / "small.safetensors", lambda one: safetensors_spans(one.path))
