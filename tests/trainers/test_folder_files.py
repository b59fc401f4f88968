"""What of a person's folder is data: who is held out, what is passed over, what is refused."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ckptkit.errors import ForeignFormatError
from ckptkit_trainers.engine.folder_files import files_below, left_out
from ckptkit_trainers.engine.held_out import by_lot
from ckptkit_trainers.engine.picture_file import read_picture

NAMES = st.sets(st.text(max_size=5), max_size=40)


@given(NAMES, NAMES, st.sampled_from([0.1, 0.3, 0.5]))
def test_whoever_comes_those_that_were_there_stay_on_their_side(before, more, share):
    (old,), (new,) = by_lot(before, share), by_lot(before | more, share)
    if len(old) > 1 and len(before - old) > 1:  # nobody was drawn only because of so few
        assert new & before == old


@given(st.sets(st.text(max_size=5), min_size=4), st.sampled_from(["", "a "]))
def test_each_part_has_somebody_and_nobody_is_in_two(names, salt):
    parts = by_lot(names, 0.125, 0.125, salt=salt)
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) < len(names)


def test_about_so_many_are_held_out_as_was_said_and_the_salt_says_who():
    names = [str(number) for number in range(10_000)]
    (found,), (other,) = by_lot(names, 0.1), by_lot(names, 0.1, salt="1 ")
    assert 900 < len(found) < 1100
    assert 50 < len(found & other) < 150


def test_of_one_or_two_names_one_at_least_is_left_to_train_on():
    assert by_lot(["a"], 0.5) in ((set(),), ({"a"},))
    assert all(len(by_lot([f"{n}", f"{n}."], 0.5)[0]) == 1 for n in range(20))


def test_hidden_folders_and_runs_are_not_entered_and_linked_folders_are_once(tmp_path):
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    for name in ("a.png", "deep/b.png", ".ipynb_checkpoints/a-checkpoint.png", "deep/.c.png",
                 "runs/restoration/20260101_000000_v1/samples/epoch_001.png",
                 "runs/restoration/20260101_000000_v1/checkpoints/best_model/manifest.msgpack"):  # fmt: skip
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).touch()
    elsewhere.mkdir()
    (elsewhere / "d.png").touch()
    (data / "linked").symlink_to(elsewhere)
    (data / "deep" / "again").symlink_to(data)
    (data / "nowhere.png").symlink_to(tmp_path / "nowhere")
    found = [path.relative_to(data).as_posix() for path in files_below(data)]
    assert found == ["a.png", "deep/b.png", "linked/d.png"]


def test_what_is_left_out_is_counted_by_its_ending_and_some_are_named(tmp_path):
    for name in ("a.HEIC", "b.heic", "c.heic", "d.txt", "LICENSE", "e.png"):
        (tmp_path / name).touch()
    (told,) = left_out(tmp_path, lambda path: path.suffix == ".png")
    counts, some = "3 .heic, 1 .txt, 1 without an ending", "(LICENSE, a.HEIC, b.heic, ...)"
    assert told == f"left out of {tmp_path}: {counts} {some}"
    assert not left_out(tmp_path, lambda _path: True)


def test_sixteen_bits_of_three_channels_are_refused_as_those_of_one(tmp_path):
    pixels = np.full((4, 4, 3), 2000, ">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    parts = ((b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)),
             (b"IDAT", zlib.compress(rows)), (b"IEND", b""))  # fmt: skip
    written = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + written)
    with pytest.raises(ForeignFormatError, match=r"more than 8 bits a channel \(RGB\)"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_lies_on_white(tmp_path, mode):
    logo = Image.new(mode, (2, 1), 0)
    logo.putpixel((1, 0), (0, 0, 0, 255) if mode == "RGBA" else (0, 255))
    logo.save(tmp_path / "a.png")
    assert np.array(read_picture(tmp_path / "a.png", "L")).tolist() == [[255, 0]]
