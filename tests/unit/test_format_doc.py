"""docs/format.md says what the code does: its tables are compared with the tables of the code."""

import re
from pathlib import Path

from ckptkit.schema import columns, tensor_table, validate
from ckptkit.tree import atoms, tokens
from ckptkit.types import DTYPES

TEXT = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def rows(section):
    """The first cell and the rest of every table row of a section."""
    lines = re.findall(r"^\| (.+?) \|$", SECTIONS[section], re.MULTILINE)
    return [[cell.strip() for cell in re.split(r" ?\| ?", line)] for line in lines]


def code_words(text):
    return re.findall(r"`([^`]+)`", text)


def test_every_dtype_is_listed_with_its_size_and_its_stored_form():
    listed = {row[0]: row[1:] for row in rows("Dtypes")[1:]}
    expected = {
        name: [
            str(d.nbytes),
            d.safetensors + (f" x {d.stored_elems}" if d.stored_elems > 1 else ""),
        ]
        for name, d in DTYPES.items()
    }
    assert listed == expected


def test_every_atom_is_listed():
    listed = {word for row in rows("Atoms")[1:] for word in code_words(row[0])}
    assert listed == set(atoms._REBUILDERS)


def test_every_code_and_kind_is_listed():
    codes = [int(row[0]) for row in rows("Tokens")[1:]]
    assert codes == list(range(11)) == sorted([
        tokens.REF, tokens.MAP, tokens.SEQ, tokens.RECORD, tokens.ATOM, tokens.NAME, tokens.TENSOR, tokens.BLOB, tokens.TEXT,
        tokens.INTEGER, tokens.COMPLEX,
    ])  # fmt: skip
    text = " ".join(SECTIONS["Tokens"].split())
    for kinds in (tokens.MAP_KINDS, tokens.SEQ_KINDS, tokens.HOWS):
        assert ", ".join(f"{number} {kind}" for number, kind in enumerate(kinds)) in text
    for rule in tokens.RULES:
        assert f'"{rule}"' in text


def test_every_column_and_flavour_is_listed():
    listed = [word for row in rows("Manifest fields") for word in code_words(row[0])]
    assert {*columns._REQUIRED, *columns._SPARSE} <= set(listed)
    assert {"format", "schema", "writer", "created", "sections", "files", "tensors"} <= set(listed)
    named = ", ".join(f"{number} {name}" for number, name in enumerate(tensor_table.FLAVOURS))
    assert named in SECTIONS["Manifest fields"]
    assert tensor_table.FLAVOURS == tokens.FLAVOURS


def test_every_section_is_listed_and_all_are_version_1():
    listed = [word for row in rows("Sections (v2)")[1:] for word in code_words(row[0])]
    assert listed == list(validate.SECTION_VERSIONS)
    assert set(validate.SECTION_VERSIONS.values()) == {1}


def test_every_promised_section_of_the_law_is_there():
    promised = [
        "Folder layout", "Data files", "Dtypes", "Tensor bytes", "Shared and tied tensors", "Manifest framing", "Manifest fields",
        "Tokens", "Atoms", "Records", "Sections (v2)", "Version 1", "Version 0", "Digests", "Commit protocol", "Reading rules",
        "Versioning rules",
    ]  # fmt: skip
    assert list(SECTIONS) == promised


def test_code_refers_only_to_sections_that_exist():
    root = Path(__file__).parents[2] / "ckptkit"
    for path in root.rglob("*.py"):
        for names in re.findall(
            r"docs/format\.md,? sections? ((?:\"[^\"]+\"(?:, | and )?)+)", path.read_text()
        ):
            for name in re.findall(r"\"([^\"]+)\"", names):
                assert name in SECTIONS or name in validate.SECTION_VERSIONS, f"{path.name}: {name}"
