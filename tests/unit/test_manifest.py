"""What a manifest must be refused for, and what each refusal says."""

import tracemalloc

import msgpack
import pytest
import xxhash

from ckptkit.errors import (
    ChecksumError,
    LimitExceededError,
    ManifestError,
    NewerSchemaError,
    TruncatedFileError,
    UnrepresentableError,
    UnsafePathError,
)
from ckptkit.schema import (
    FileEntry,
    Manifest,
    SectionEntry,
    TensorRow,
    TensorTable,
    dump_manifest,
    parse_manifest,
)
from ckptkit.types import ByteSpan, Limits
from tests.growth import work_of

FILES = [FileEntry("model.safetensors", 1000, "data"), FileEntry("a.txt", 4, "side", bytes(16))]


def row(name="w", start=8, stop=24, **changes):
    fields = {"dtype": "float32", "shape": (2, 2), "file": 0, "digest": b"d" * 16} | changes
    return TensorRow(name=name, span=ByteSpan(start, stop), **fields)


def manifest(*rows, files=FILES, sections=()):
    return Manifest(writer="w", files=files, sections=sections, tensors=TensorTable.of(rows))


def reframed(body):
    frame = b"\x92\xc6" + len(body).to_bytes(4, "big") + body
    return frame + b"\xc4\x10" + xxhash.xxh3_128_digest(body)


def body_of(value=None):
    raw = dump_manifest(value or manifest(row()))
    return msgpack.unpackb(raw[6 : len(raw) - 18])


def parse(body):
    return parse_manifest(reframed(msgpack.packb(body)), "ckpt/manifest.msgpack")


# -- framing ---------------------------------------------------------------------------------------


def test_a_newer_schema_is_refused_by_both_numbers():
    with pytest.raises(NewerSchemaError, match=r"version 7.*at most 2.*upgrade"):
        parse(body_of() | {"schema": 7, "tensors": "of a form that only version 7 knows"})


def test_a_newer_section_is_refused_by_name():
    with pytest.raises(NewerSchemaError, match=r"rng.*version 9.*at most 1"):
        parse(body_of() | {"sections": [["rng", 9, [None]]]})


def test_a_section_of_a_plugin_may_have_any_version():
    assert (
        parse(body_of() | {"sections": [["my-plugin", 9, [None]]]}).section("my-plugin").version
        == 9
    )


def test_the_sections_of_a_trainer_have_versions_of_its_own():
    parsed = parse(body_of() | {"sections": [["model", 9, [None]]], "trainer": "gpt"})
    assert (parsed.trainer, parsed.section("model").version) == ("gpt", 9)
    assert parse(body_of(parsed)) == parsed


def test_a_manifest_without_trainer_has_no_such_field():
    assert "trainer" not in body_of()
    assert parse(body_of()).trainer == ""


def test_an_empty_trainer_counts_nothing():
    with pytest.raises(NewerSchemaError, match=r"model.*version 9.*at most 1"):
        parse(body_of() | {"sections": [["model", 9, [None]]], "trainer": ""})


@pytest.mark.parametrize("trainer", [1, None, b"gpt", ["gpt"], "a\x1b"])
def test_a_trainer_that_is_no_printable_name_is_refused(trainer):
    with pytest.raises(ManifestError, match="trainer"):
        parse(body_of() | {"trainer": trainer})


@pytest.mark.parametrize("schema", [1, 0, -1, "2", True, 2.0, None])
def test_a_schema_that_is_none_is_refused(schema):
    with pytest.raises(ManifestError, match="schema"):
        parse(body_of() | {"schema": schema})


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", TruncatedFileError),
        (b"\x92", TruncatedFileError),
        (b"PK\x03\x04", ManifestError),
        (reframed(b"\x80")[:-1], TruncatedFileError),
        (reframed(b"\x80") + b"x", ManifestError),
        (reframed(b"\x80")[:-1] + b"x", ChecksumError),
        (reframed(b"\x80"), ManifestError),
        (reframed(b""), ManifestError),
        (reframed(b"\x80\x80"), ManifestError),
        (reframed(b"\x91\xc0"), ManifestError),
        (reframed(b"\xc1"), ManifestError),
        (b"\x92\xc6\xff\xff\xff\xff", TruncatedFileError),
    ],
)
def test_a_broken_frame_says_what_is_broken(data, error):
    with pytest.raises(error):
        parse_manifest(data, "m")


def test_the_size_limit_comes_before_everything():
    with pytest.raises(LimitExceededError, match="max_manifest_nbytes"):
        parse_manifest(reframed(b"\x80" * 100), "m", Limits(max_manifest_nbytes=64))


@pytest.mark.parametrize(
    "body",
    [
        b"\x82\xa1a\xc0\xa1a\xc0",  # one key twice
        b"\x81\x01\xc0",  # a key that is no string
        b"\x81\xa1a\xc7\x01\x05x",  # an extension type
        b"\x81\xa1a\xd6\xff\x00\x00\x00\x00",  # a timestamp
        b"\x81\xa1a\xa1\xff",  # a string that is no UTF-8
        b"\x81\xa1a" + b"\x91" * 5_000 + b"\xc0",  # deeper than any decoder should go
        b"\x81\xa1a\xdd\xff\xff\xff\xff",  # an array that claims four billion items
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xdc\x75\x30" + b"\x80" * 30_000,  # very many maps
    ],
)
def test_msgpack_that_no_manifest_holds_is_refused(body):
    with pytest.raises(ManifestError):
        parse_manifest(reframed(body), "m")


def test_claims_of_nested_arrays_cost_no_memory():
    body = b"\x81\xa1a" + (b"\xdd" + (1 << 20).to_bytes(4, "big")) * 500 + b"\xc0" * (1 << 21)
    tracemalloc.start()
    try:
        with pytest.raises(ManifestError):
            parse_manifest(reframed(body), "m")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(body)


# -- fields ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["writer", "created", "sections", "files", "tensors", "schema", "format"]
)
def test_a_missing_field_is_named(name):
    body = body_of()
    del body[name]
    with pytest.raises(ManifestError, match=name):
        parse(body)


@pytest.mark.parametrize(
    "section",
    [
        ["a"],
        ["a", 1],
        ["a", "1", []],
        ["a", True, []],
        [b"a", 1, []],
        ["a", 1, {}],
        "a1[",
        ["", 1, []],
        ["a\x1b", 1, []],
        ["a", 0, []],
    ],
)
def test_a_section_of_another_form_is_refused(section):
    with pytest.raises(ManifestError, match="sections"):
        parse(body_of() | {"sections": [section]})


def test_two_sections_of_one_name_are_refused():
    with pytest.raises(ManifestError, match="one name"):
        parse(body_of() | {"sections": [["a", 1, [None]], ["a", 1, [None]]]})


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a", "a\\b", "C:x", "a\x00", "a\x1b[2J", "manifest.msgpack",
     "MANIFEST.msgpack", "a\u202eb", "a.", "a ", "a" * 256, "\ud800"],
)  # fmt: skip
def test_a_file_name_that_leaves_the_folder_is_refused(name):
    with pytest.raises(UnsafePathError):
        dump_manifest(manifest(files=[FileEntry(name, 4, "side")]))


def test_names_that_differ_only_in_case_are_refused():
    with pytest.raises(ManifestError, match="two files"):
        dump_manifest(
            manifest(files=[FileEntry("A.txt", 4, "side"), FileEntry("a.TXT", 4, "side")])
        )


@pytest.mark.parametrize(
    "entry",
    [FileEntry("a.txt", 4, "tail"), FileEntry("a.pt", 4, "data"), FileEntry("a", -1, "side"), FileEntry("a", 2**63, "side"),
     FileEntry("a", 4, "side", b"short")],
)  # fmt: skip
def test_a_file_entry_that_cannot_be_is_refused(entry):
    with pytest.raises(ManifestError, match="files"):
        dump_manifest(manifest(files=[entry]))


def test_unknown_fields_survive_being_read_and_written():
    body = body_of() | {"lineage": {"parent": b"\x01"}, "zz": [1, None]}
    body["tensors"]["colour"] = [b"\x05"]
    parsed = parse(body)
    assert parsed.unknown == {"lineage": {"parent": b"\x01"}, "zz": [1, None]}
    again = body_of(parsed)
    assert again["lineage"] == {"parent": b"\x01"}
    assert again["tensors"]["colour"] == [b"\x05"]


# -- the table -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([row(), row()], "one name twice"),
        ([row("a"), row("b", 23, 39)], "overlap"),
        ([row("b", 20, 36), row("a")], "overlap"),
        ([row(stop=25)], "17 bytes.*16 for float32"),
        ([row(shape=(2, 3))], "16 bytes.*24 for float32"),
        ([row(shape=(2**62, 2**62))], "16 bytes"),
        ([row(start=24, stop=8)], "-16 bytes"),
        ([row(start=985, stop=1001)], "beyond its file"),
        ([row(file=1)], "file 1 of 2"),
        ([row(file=2)], "file 2 of 2"),
        ([row(file=-1)], "file -1"),
        ([row(flavour="blob")], "blob"),
        ([row(flavour="meta")], "meta"),
        ([row(start=0, stop=0, file=-1, flavour="meta")], "digest"),
        ([row(start=0, stop=16, file=-1, flavour="meta", digest=bytes(16))], "bytes"),
        ([row(dtype="float33")], "unknown dtype 'float33'"),
        ([row(digest=b"d")], "digests"),
    ],
)
def test_a_row_that_cannot_be_is_refused(rows, says):
    with pytest.raises(ManifestError, match=says):
        dump_manifest(manifest(*rows))


def test_empty_tensors_may_lie_anywhere_and_names_may_repeat_across_files():
    files = [*FILES, FileEntry("ema.safetensors", 1000, "data")]
    rows = [row("a", 8, 24), row("b", 16, 16, shape=(0, 9)), row("a", 8, 24, file=2)]
    assert len(parse_manifest(dump_manifest(manifest(*rows, files=files)), "m").tensors.names) == 3


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("count", 2), ("count", -1), ("count", True), ("names", [b"w"]), ("names", []), ("dtypes", [["float33"], b"\0"]),
        ("dtypes", [["float32"], b"\1"]), ("dtypes", [["float32"], b"\0\0"]), ("dtypes", [[7], b"\0"]), ("ranks", b"\3"),
        ("ranks", b"\1"), ("dims", [2, -2]), ("dims", [2, 2.0]), ("dims", [2, True]), ("dims", [2, 2**63]), ("dims", [2]),
        ("starts", [-8]), ("stops", ["24"]), ("files", [-2]), ("files", [True]), ("digests", b"short"), ("digests", "d" * 16),
        ("flavours", b"\5"), ("flavours", b"\x85"), ("flavours", b""), ("devices", [["cpu"], b""]), ("numpy_dtypes", [[1, "<U3"]]),
        ("numpy_dtypes", [[0, 5]]), ("numpy_dtypes", [[0, "a"], [0, "b"]]), ("strides", [[0, [1]]]), ("strides", [[0, [1, -1]]]),
        ("strides", [[0, 1]]), ("shared", [[8, [[1, 0]]]]), ("shared", [[8, [[0, -1]]]]), ("shared", [[8]]), ("shared", [[-8, []]]),
        ("shared", {}),
    ],
)  # fmt: skip
def test_a_column_that_cannot_be_is_named(column, value):
    body = body_of()
    body["tensors"][column] = value
    with pytest.raises(ManifestError, match="tensors"):
        parse(body)


def test_more_devices_than_a_byte_can_tell_apart_are_kept():
    rows = [row(f"w{i}", 8 + 16 * i, 24 + 16 * i, device=f"odd:{i}") for i in range(300)]
    files = [FileEntry("model.safetensors", 10_000, "data")]
    assert (
        list(parse_manifest(dump_manifest(manifest(*rows, files=files)), "m").tensors.rows())
        == rows
    )


def test_a_device_that_is_no_text_is_written_with_escapes():
    parsed = parse_manifest(dump_manifest(manifest(row(device="cuda\ud800"))), "m")
    assert parsed.tensors.devices == ["cuda\\ud800"]


def test_what_msgpack_cannot_hold_is_refused_as_ours():
    for changes in ({"name": "\ud800"}, {"strides": (2**70, 1)}):
        with pytest.raises(UnrepresentableError):
            dump_manifest(manifest(row(**changes)))


def test_a_rank_beyond_the_limit_names_the_limit():
    body = body_of(manifest(row(shape=(2, 2, *[1] * 70))))
    with pytest.raises(LimitExceededError, match="max_rank"):
        parse(body)


def test_a_hundred_thousand_rows_are_checked_column_by_column():
    n = 100_000
    rows = [row(f"layers.{i}.weight", 8 + 16 * i, 24 + 16 * i) for i in range(n)]
    tokens = [[1, 1, n]]
    for i, one in enumerate(rows):
        tokens += [one.name, [6, i]]
    files = [FileEntry("model.safetensors", 8 + 16 * n, "data")]
    data = dump_manifest(manifest(*rows, files=files, sections=[SectionEntry("model", 1, tokens)]))
    parsed = parse_manifest(data, "m")
    assert work_of(lambda: parse_manifest(data, "m")) < 5 * n  # a few looks a row, by columns
    assert parsed.tensors.row(n - 1) == rows[-1]


@pytest.mark.parametrize("text", ["<U3\x1b[2J", "\u202e<U3", "V" * 70_000, ""])
def test_a_numpy_dtype_that_does_not_print_or_end_is_refused(text):
    body = body_of(manifest(row(flavour="ndarray", numpy_dtype="<U3")))
    body["tensors"]["numpy_dtypes"][0][1] = text
    with pytest.raises(ManifestError, match="numpy_dtypes"):
        parse(body)


def test_a_meta_tensor_of_absurd_size_is_refused():
    fits = row("w", 0, 0, file=-1, shape=(2**60,), flavour="meta", digest=bytes(16))
    assert parse(body_of(manifest(fits))).tensors.row(0).shape == (2**60,)
    with pytest.raises(ManifestError, match="absurd"):
        parse(body_of(manifest(fits._replace(shape=(2**62,) * 64))))
