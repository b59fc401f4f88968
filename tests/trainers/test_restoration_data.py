"""Photographs: the wheel's, folders, and folders that are none."""

import urllib.request

import pytest
import torch
from PIL import Image

from ckptkit.errors import InputError, NotFoundError
from ckptkit_trainers.engine.held_out import by_lot
from ckptkit_trainers.restoration.config import Config, check_config
from ckptkit_trainers.restoration.data import HeldOut, Patches
from ckptkit_trainers.restoration.photographs import Gallery, find_photographs, notes_of


def picture(path, size=(40, 48), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 60).convert(mode).save(path)
    return path


def test_the_photographs_of_the_wheels_are_files_and_nothing_is_downloaded(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    split = find_photographs("")
    assert (len(split.train), len(split.held_out)) == (15, 3)
    assert not set(split.train) & set(split.held_out)
    gallery = Gallery(split.train + split.held_out, colours="colour", least=64)
    assert all(gallery[number].shape[0] == 3 for number in range(len(gallery)))


def test_train_and_val_folders_are_taken_as_they_are(tmp_path):
    seen = [picture(tmp_path / "train" / name) for name in ("b.png", "a/c.JPG")]
    held = picture(tmp_path / "val" / "d.png")
    picture(tmp_path / "train" / "._b.png")
    split = find_photographs(str(tmp_path))
    assert (set(split.train), split.held_out) == (set(seen), (held,))


def test_of_a_plain_folder_about_a_tenth_is_held_out_by_the_digests_of_the_names(tmp_path):
    for number in range(21):
        picture(tmp_path / f"{number:02d}.png")
    split = find_photographs(str(tmp_path))
    (chosen,) = by_lot([f"{number:02d}.png" for number in range(21)], 0.1)
    assert {path.name for path in split.held_out} == chosen
    assert len(split.train) == 21 - len(chosen)
    assert 1 <= len(chosen) <= 5


def test_what_a_training_has_made_below_its_photographs_is_none_of_them(tmp_path):
    for name in ("a.png", "b.png", "runs/x/samples/epoch_001.png", ".cache/c.png"):
        picture(tmp_path / name)
    (tmp_path / "runs" / "x" / "checkpoints").mkdir()
    (tmp_path / "d.heic").touch()
    split = find_photographs(str(tmp_path))
    assert sorted(path.name for path in split.train + split.held_out) == ["a.png", "b.png"]
    assert notes_of(str(tmp_path)) == (f"left out of {tmp_path}: 1 .heic (d.heic)",)
    assert not notes_of("")


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(NotFoundError, match="no such folder"):
        find_photographs(str(tmp_path / "no"))


def test_a_folder_without_pictures_says_what_was_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(InputError, match=r"holds no picture; expected files that end in \.png"):
        find_photographs(str(tmp_path))


def test_one_picture_is_too_few(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(InputError, match="two at least"):
        find_photographs(str(tmp_path))


def test_a_picture_smaller_than_a_patch_is_named_with_its_size(tmp_path):
    path = picture(tmp_path / "small.png", size=(20, 50))
    with pytest.raises(InputError, match=r"small\.png: is 20 x 50 pixels; expected 32 at least"):
        Gallery([path], colours="colour", least=32)


@pytest.mark.parametrize("damage", [b"no picture at all", b""])
def test_what_is_no_picture_is_named(tmp_path, damage):
    (tmp_path / "a.png").write_bytes(damage)
    with pytest.raises(InputError, match=r"a\.png: is no picture"):
        Gallery([tmp_path / "a.png"], colours="colour")


def test_a_picture_that_was_cut_short_is_named(tmp_path):
    path = picture(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError, match=r"a\.png: cannot be decoded"):
        Gallery([path], colours="colour")[0]


def test_sixteen_bits_are_refused_because_nobody_says_what_white_is(tmp_path):
    Image.new("I;16", (40, 40), 30000).save(tmp_path / "deep.png")
    with pytest.raises(InputError, match="8 bits a channel"):
        Gallery([tmp_path / "deep.png"], colours="grey")  # before the training, not in it


@pytest.mark.parametrize(("colours", "channels"), [("colour", 3), ("grey", 1)])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1"])
def test_every_kind_of_eight_bits_becomes_colour_or_grey(tmp_path, mode, colours, channels):
    path = picture(tmp_path / "a.png", mode=mode)
    assert Gallery([path], colours=colours)[0].shape == (channels, 48, 40)


def test_patches_follow_from_the_stream_alone_and_differ_in_place_turn_and_noise(tmp_path):
    gallery = Gallery([picture(tmp_path / "a.png")], colours="colour")
    patches = Patches(gallery, Config(patch=32, noise_low=10, noise_high=50))
    drawn = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        drawn.append(patches[0])
    assert torch.equal(drawn[0].noisy, drawn[2].noisy)
    assert not torch.equal(drawn[0].clean, drawn[1].clean)
    strengths = [float((pair.noisy - pair.clean).std()) * 255 for pair in drawn]
    assert all(9 < strength < 51 for strength in strengths)
    assert abs(strengths[0] - strengths[1]) > 1


def test_an_epoch_may_be_limited(tmp_path):
    gallery = Gallery([picture(tmp_path / "a.png")], colours="colour")
    assert len(Patches(gallery, Config(patches=800))) == 800
    assert len(Patches(gallery, Config(patches=800, limit=5))) == 5
    assert len(Patches(gallery, Config(patches=3, limit=5))) == 3


@pytest.mark.parametrize(
    ("size", "shape"), [(0, (3, 48, 40)), (16, (3, 16, 16)), (45, (3, 45, 40))]
)
def test_the_held_out_middle_has_the_same_noise_every_time(tmp_path, size, shape):
    gallery = Gallery([picture(tmp_path / "a.png")], colours="colour")
    pairs = HeldOut(gallery, noise=25, size=size)
    torch.manual_seed(3)
    first = pairs[0]
    assert torch.equal(first.noisy, pairs[0].noisy)
    assert first.clean.shape == shape
    assert float((first.noisy - first.clean).std()) * 255 == pytest.approx(25, abs=3)
    state = torch.get_rng_state()
    _ = pairs[0]
    assert torch.equal(torch.get_rng_state(), state)  # the training's stream is not drawn from


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"patch": 16, "depth": 5}, "--patch: is 16; expected 32 or more at --depth 5"),
     ({"val_size": 8}, "--val-size: is 8; expected 12 or more"),
     ({"noise_low": 30, "noise_high": 20}, "--noise-low: is 30, above --noise-high 20")],
)  # fmt: skip
def test_settings_that_do_not_go_together_are_refused(settings, told):
    check_config(Config(val_size=0))
    with pytest.raises(InputError, match=told):
        check_config(Config(**settings))
