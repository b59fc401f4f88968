"""Law: a manifest is read back as it was written, and a damaged one never as something else."""

import msgpack
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ckptkit.errors import CkptkitError, ManifestError, TruncatedFileError
from ckptkit.schema import (
    FileEntry,
    Manifest,
    SectionEntry,
    SharedStorage,
    TensorRow,
    TensorTable,
    dump_manifest,
    parse_manifest,
)
from ckptkit.schema.framing import FRAME_NBYTES, frame_digest
from ckptkit.testing import strategies as our
from ckptkit.tree import first_difference, flatten, unflatten
from ckptkit.types import DTYPES, ByteSpan

THOROUGH = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
UTF8 = st.text(max_size=6)
PLAIN = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), UTF8, st.binary(max_size=4)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(UTF8, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def tables(draw, n_files=2):
    """Rows of every flavour, back to back in their files, with everything a row can say."""
    ends, rows = [8] * n_files, []
    for number in range(draw(st.integers(0, 6))):
        dtype = DTYPES[draw(st.sampled_from(sorted(DTYPES)))]
        shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
        file = draw(st.integers(0, n_files - 1))
        nbytes = dtype.nbytes
        for size in shape:
            nbytes *= size
        span = ByteSpan(ends[file], ends[file] + nbytes)
        ends[file] = span.stop + draw(st.integers(0, 2))
        rows.append(
            TensorRow(
                f"{draw(UTF8)}.{number}", dtype.name, shape, file, span, draw(st.binary(min_size=16, max_size=16)),
                draw(st.sampled_from(["tensor", "parameter", "ndarray"])), draw(st.booleans()),
                draw(st.sampled_from(["", "<U3"])), draw(st.sampled_from(["cpu", "cuda:1"])),
                draw(st.one_of(st.none(), st.just((1,) * len(shape)))),
            )
        )  # fmt: skip
        if draw(st.booleans()):
            rows.append(TensorRow("", "float32", shape, -1, ByteSpan(0, 0), flavour="meta"))
    shared = (
        [SharedStorage(100, ((0, 3), (len(rows) - 1, 0)))] if rows and draw(st.booleans()) else []
    )
    return rows, ends, shared


@st.composite
def manifests(draw):
    rows, ends, shared = draw(tables())
    rows.append(TensorRow("notes.txt", "uint8", (5,), 2, ByteSpan(0, 5), b"d" * 16, "blob"))
    files = [FileEntry(f"part-{n}.safetensors", end, "data") for n, end in enumerate(ends)]
    files += [FileEntry("notes.txt", 5, "side", b"d" * 16), FileEntry("a/index.json", 9, "index")]
    trees = draw(st.lists(our.nodes(5), max_size=3))
    sections = [
        SectionEntry(f"section-{n}", draw(st.integers(1, 9)), flatten(tree).tokens)
        for n, tree in enumerate(trees)
    ]
    return Manifest(
        writer=draw(UTF8), created=draw(UTF8), sections=sections, files=files,
        tensors=TensorTable.of(rows, shared), trainer=draw(st.sampled_from(("", "gpt", "Größe 2"))),
        unknown={f"x-{key}": value for key, value in draw(st.dictionaries(UTF8, PLAIN, max_size=2)).items()},
    )  # fmt: skip


@THOROUGH
@given(manifests())
def test_what_was_dumped_is_parsed(manifest):
    data = dump_manifest(manifest)
    parsed = parse_manifest(data, "m")
    assert list(parsed.tensors.rows()) == list(manifest.tensors.rows())
    assert tuple(parsed.tensors.shared) == tuple(manifest.tensors.shared)
    assert list(parsed.files) == list(manifest.files)
    assert (parsed.writer, parsed.created, parsed.schema) == (manifest.writer, manifest.created, 2)
    assert (parsed.trainer, parsed.unknown) == (manifest.trainer, manifest.unknown)
    assert dump_manifest(parsed) == data


@THOROUGH
@given(our.nodes())
def test_a_tree_survives_a_manifest_to_the_bit(node):
    flat = flatten(node)
    manifest = Manifest(writer="w", sections=[SectionEntry("extra", 1, flat.tokens)])
    entry = parse_manifest(dump_manifest(manifest), "m").section("extra")
    again = unflatten(entry.tokens, flat.leaves)
    assert first_difference(node, again, same_aliases=True) is None


@THOROUGH
@given(manifests(), st.data())
def test_any_flipped_bit_is_found(manifest, data):
    raw = bytearray(dump_manifest(manifest))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CkptkitError):
        parse_manifest(bytes(raw), "m")


@THOROUGH
@given(manifests(), st.data())
def test_any_cut_is_found(manifest, data):
    raw = dump_manifest(manifest)
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises((TruncatedFileError, ManifestError)):
        parse_manifest(raw[:cut], "m")


def reframed(body):
    """A body with a frame and a digest that fit it: what an attacker would write."""
    frame = b"\x92\xc6" + len(body).to_bytes(4, "big") + body
    return frame + b"\xc4\x10" + xxhash.xxh3_128_digest(body)


@THOROUGH
@given(manifests(), st.data())
def test_a_forged_body_is_refused_or_obeys_the_law(manifest, data):
    raw = dump_manifest(manifest)
    body = bytearray(raw[6 : len(raw) - 18])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = parse_manifest(reframed(bytes(body)), "m")
    except CkptkitError:
        return
    assert parse_manifest(dump_manifest(parsed), "m").unknown.keys() == parsed.unknown.keys()


@THOROUGH
@given(manifests(), st.data())
def test_a_field_of_another_type_is_refused(manifest, data):
    raw = dump_manifest(manifest)
    body = msgpack.unpackb(raw[6 : len(raw) - 18], strict_map_key=True)
    holder = data.draw(st.sampled_from([body, body["tensors"]]))
    optional = {"devices", "numpy_dtypes", "strides", "shared"}
    known = [key for key in holder if key not in manifest.unknown and key not in optional]
    name = data.draw(st.sampled_from(known))
    holder[name] = data.draw(st.sampled_from([None, 1.5, [[None]], {"a": 1}, -1]))
    with pytest.raises(CkptkitError):
        parse_manifest(reframed(msgpack.packb(body)), "m")


def test_a_manifest_is_msgpack_that_ends_with_its_own_digest():
    raw = dump_manifest(Manifest(writer="w"))
    body, digest = msgpack.unpackb(raw)
    assert xxhash.xxh3_128_digest(body) == digest == frame_digest(raw)
    assert len(raw) == len(body) + FRAME_NBYTES
    assert msgpack.unpackb(body)["format"] == "ckptkit"
