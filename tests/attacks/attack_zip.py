"""Archives that say one thing and are another."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from tests.attacks import build_pickle as b
from tests.attacks.build_zip import FOUR_FLOATS, End, Entry, members, torch_zip, write_zip
from tests.attacks.case import Case, file_of

EVIL = b.stream(b.os_system())
HONEST = b.state_dict(weight=b.tensor())
Row = tuple[str, str, bytes, str]


def change(index: int, **fields: object) -> bytes:
    """A torch file with one member changed."""
    rows = members()
    rows[index] = rows[index]._replace(**fields)
    return write_zip(rows)


def sums_and_flags() -> Iterator[Row]:
    """CRCs and flag bits."""
    flipped = bytes([FOUR_FLOATS[0] ^ 1]) + FOUR_FLOATS[1:]
    true_crc = zlib.crc32(FOUR_FLOATS)
    yield (
        "crc-tensor",
        "zip CRC",
        change(2, data=flipped, crc=true_crc, local_crc=true_crc),
        "refused",
    )
    yield "crc-pickle", "zip CRC", change(0, crc=1, local_crc=1), "refused"
    yield "crc-zero", "zip CRC", change(2, crc=0, local_crc=0), "any"
    yield "crc-local-only", "zip CRC", change(2, local_crc=1), "any"
    yield "crc-byteorder", "zip CRC", change(1, crc=5), "any"
    every = [row._replace(crc=7) for row in members()]
    yield "crc-all", "zip CRC", write_zip(every), "any"
    for bit in (0, 5, 6, 13):
        yield (
            f"flag-{bit}",
            "zip flags",
            change(2, flags=1 << bit),
            "refused" if bit != 5 else "any",
        )
    for bit in (1, 2, 3, 4, 7, 8, 11, 12, 14, 15):
        yield f"flag-{bit}", "zip flags", change(2, flags=1 << bit), "any"
    yield "flag-encrypted-pickle", "zip flags", change(0, flags=1), "refused"
    yield "flag-local-only", "zip flags", change(2, local_flags=1), "any"
    yield (
        "flag-utf8-junk",
        "zip flags",
        write_zip([*members(), Entry(b"\xff\xfe", b"", flags=0x800)]),
        "any",
    )
    for method in (1, 6, 9, 12, 14, 93, 95, 99):
        yield f"method-{method}", "zip flags", change(2, method=method), "refused"


def names() -> Iterator[Row]:
    """Local against central, duplicates, case, paths."""
    differ, twice, path = "zip local and central differ", "zip duplicates", "zip path"
    yield "local-name", differ, change(0, local_name=b"archive/hide.pkl"), "any"
    yield "local-name-long", differ, change(0, local_name=b"archive/" + b"x" * 500), "any"
    hidden = members(EVIL)[0]._replace(omit_central=True)
    yield "local-only-pickle", differ, write_zip([hidden, *members()]), "any"
    yield "local-size", differ, change(2, local_usize=4, local_csize=4), "any"
    yield "local-method", differ, change(2, local_method=8), "any"
    yield "local-extra-lie", differ, change(2, local_extra=b"\xff\xff\xff\xff"), "any"
    yield "size-larger", differ, change(2, usize=400, csize=400), "refused"
    yield "size-stored-differ", differ, change(2, usize=400), "refused"
    yield "size-max", differ, change(2, usize=0xFFFFFFFF, csize=0xFFFFFFFF), "refused"
    double = members()
    yield "duplicate-pickle", twice, write_zip([*double, members(EVIL)[0]]), "any"
    yield "duplicate-pickle-first", twice, write_zip([members(EVIL)[0], *double]), "any"
    yield (
        "duplicate-storage",
        twice,
        write_zip([*double, Entry("archive/data/0", b"\0" * 16)]),
        "any",
    )
    yield "case-folded", twice, write_zip([*double, Entry("ARCHIVE/DATA.PKL", EVIL)]), "any"
    yield "backslash", twice, write_zip([*double, Entry("archive\\data.pkl", EVIL)]), "any"
    yield "dot-slash", twice, write_zip([*double, Entry("./archive/data.pkl", EVIL)]), "any"
    yield "double-slash", twice, write_zip([*double, Entry("archive//data.pkl", EVIL)]), "any"
    yield "two-roots", twice, write_zip([*double, *members(EVIL, root="other")]), "any"
    yield "nested-root", twice, write_zip([*double, *members(EVIL, root="archive/data")[:1]]), "any"
    for index, name in enumerate((
        "../data.pkl", "/etc/data.pkl", "archive/../../data.pkl", "C:\\data.pkl", "archive/data/../data.pkl",
        "archive/data.pkl\0.txt", "\x1b[2J/data.pkl", "archive/data/0/", "\u202elkp.atad", "data.pkl", "/data.pkl",
        "a" * 60_000 + "/data.pkl",
    )):  # fmt: skip
        yield f"path-{index}", path, write_zip([Entry(name, HONEST), *members()[1:]]), "any"
    link = Entry("archive/data/1", b"/etc/hostname", external=0o120777 << 16)
    yield "path-symlink", path, write_zip([*members(), link]), "any"


def ends() -> Iterator[Row]:
    """End records, prefixes, gaps, overlaps."""
    group, overlap = "zip end record", "zip overlap bomb"
    rows = members()
    for title, end in (
        ("count-more", End(count=50)), ("count-less", End(count=1)), ("count-max", End(count=0xFFFF)),
        ("count-here", End(count_here=9)), ("size-large", End(size=2**31)), ("size-zero", End(size=0)),
        ("offset-outside", End(offset=2**31)), ("offset-max", End(offset=0xFFFFFFFF)), ("offset-zero", End(offset=0)),
        ("disk", End(disk=3)), ("prefix", End(prefix=b"#!/bin/sh\nexit 1\n")),
        ("prefix-shifted", End(prefix=b"X" * 64, shift=-64)), ("comment", End(comment=b"hello")),
        ("comment-end-record", End(comment=b"PK\5\6" + bytes(18))), ("gap", End(gap=b"\0" * 100)), ("zip64", End(zip64=True)),
        ("zip64-count", End(zip64=True, count=2**62)), ("zip64-offset", End(zip64=True, offset=2**63)),
        ("zip64-size", End(zip64=True, size=2**64 - 1)),
    ):  # fmt: skip
        yield title, group, write_zip(rows, end), "any"
    whole = write_zip(rows)
    other = write_zip(members(EVIL))
    yield "two-archives", group, whole + other, "any"
    yield "archive-in-comment", group, write_zip(rows, End(comment=other)), "any"
    yield "cut-end", group, whole[:-10], "refused"
    yield "cut-half", group, whole[: len(whole) // 2], "refused"
    yield "cut-central", group, whole[:-80], "refused"
    yield "tail-junk", group, whole + b"\0" * 70_000, "any"
    yield "no-members", group, write_zip([]), "refused"
    yield "only-end", group, struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0, 0, 0, 0, 0), "refused"
    yield "many-ends", group, whole + b"PK\5\6" * 50_000, "any"
    yield (
        "many-members",
        group,
        write_zip([Entry(f"archive/x{i}", b"") for i in range(30_000)] + rows),
        "any",
    )
    yield "zip64-extra", group, change(2, csize=0xFFFFFFFF, usize=0xFFFFFFFF,
        extra=struct.pack("<HHQQ", 1, 16, 2**63, 2**63)), "refused"  # fmt: skip
    yield "zip64-extra-cut", group, change(2, csize=0xFFFFFFFF, usize=0xFFFFFFFF,
        extra=struct.pack("<HHI", 1, 16, 4)), "refused"  # fmt: skip
    yield "zip64-extra-honest", group, change(2, csize=0xFFFFFFFF, usize=0xFFFFFFFF,
        extra=struct.pack("<HHQQ", 1, 16, 16, 16)), "any"  # fmt: skip
    yield "offset-member-outside", group, change(2, offset=2**31), "refused"
    yield "offset-member-of-pickle", overlap, change(2, offset=0), "any"
    yield "offset-member-at-end", group, change(2, offset=len(whole) - 4), "refused"
    kernel = Entry("archive/data/0", b"\0" * 200_000, method=8)
    same = [
        Entry(f"archive/data/{i}", b"\0" * 200_000, method=8, omit_local=True, offset=0)
        for i in range(1, 2000)
    ]
    yield "overlap-same", overlap, write_zip([kernel, *same, *members()[:2]]), "any"
    stored = Entry("archive/data/0", b"\0" * 50_000)
    views = [
        stored._replace(name=f"archive/data/{i}", omit_local=True, offset=0) for i in range(1, 3000)
    ]
    names = {f"w{i}": b.tensor(b.storage(str(i), 12_500), 0, (12_500,)) for i in range(3000)}
    yield (
        "overlap-stored",
        overlap,
        write_zip([stored, *views, *members(b.state_dict(**names))[:2]]),
        "any",
    )
    inner = Entry("archive/data/0", torch_zip())
    yield (
        "overlap-quoted",
        overlap,
        write_zip([*members()[:2], inner._replace(csize=4000, usize=4000)]),
        "any",
    )


def bombs_and_orders() -> Iterator[Row]:
    """Deflate bombs; byteorder, version and alignment that lie."""
    bomb, group = "zip deflate bomb", "zip byteorder or alignment"
    big = b.state_dict(w=b.tensor(b.storage(numel=7_500_000), 0, (7_500_000,)))
    rows = members(big, {"0": b"\0" * 30_000_000})
    yield "storage", bomb, write_zip([rows[0], rows[2]._replace(method=8)]), "any"
    packed = b.stream(b"N0" * 15_000_000 + b"N")
    yield (
        "pickle",
        bomb,
        write_zip([Entry("archive/data.pkl", packed, method=8), *members()[1:]]),
        "any",
    )
    yield "byteorder-entry", bomb, change(1, data=b"little" + b" " * 20_000_000, method=8), "any"
    yield (
        "usize-lie-small",
        bomb,
        change(2, data=b"\0" * 1_000_000, method=8, usize=16, local_usize=16),
        "any",
    )
    yield "usize-lie-large", bomb, change(2, method=8, usize=2**30, local_usize=2**30), "refused"
    yield "not-deflate", bomb, change(2, data=FOUR_FLOATS)[:0] + _broken_deflate(), "refused"
    for index, value in enumerate(
        (b"big", b"LITTLE", b"middle", b"", b"little\0", b"little\n", b"\xff" * 9)
    ):
        yield f"byteorder-{index}", group, write_zip(members(byteorder=value)), "any"
    yield (
        "byteorder-twice",
        group,
        write_zip([*members(), Entry("archive/byteorder", b"big")]),
        "any",
    )
    for index, value in enumerate((b"999999999999999999999\n", b"-1\n", b"x", b"", b"3\n3\n")):
        rows = members()
        rows[-1] = rows[-1]._replace(data=value)
        yield f"version-{index}", group, write_zip(rows), "any"
    for index, value in enumerate((b"0", b"-64", b"7", b"4294967296", b"sixty-four")):
        row = Entry("archive/.storage_alignment", value)
        yield f"alignment-{index}", group, write_zip([*members(), row]), "any"
    yield "misaligned", group, change(2, local_extra=b"\0\0\0"), "any"


def _broken_deflate() -> bytes:
    rows = members()
    junk = rows[2]._replace(data=b"\xff" * 16, local_method=8)
    raw = write_zip([rows[0], rows[1], junk, rows[3]])
    name = b"archive/data/0"
    at = raw.rindex(name) - 46 + 10  # the method of its central record
    return raw[:at] + struct.pack("<H", 8) + raw[at + 2 :]


def cases() -> Iterator[Case]:
    """All of them."""
    for rows in (sums_and_flags(), names(), ends(), bombs_and_orders()):
        for title, group, data, outcome in rows:
            evil = EVIL in data and title not in {
                "two-archives",
                "archive-in-comment",
                "local-only-pickle",
            }
            reach = title in {"duplicate-pickle", "duplicate-pickle-first"}
            yield Case(
                f"zip-{title}", group, file_of(data), outcome=outcome, alarm=True if evil and reach else None,
                names=(("posix", "system"),) if evil and reach else (),
            )  # fmt: skip
