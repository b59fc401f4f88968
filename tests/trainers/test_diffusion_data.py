"""What the diffusion trainer reads: digits in motion, folders of GIFs, words."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ckptkit.errors import InputError, NotFoundError, SettingError, UnknownFormatError
from ckptkit_trainers.diffusion.config import Config
from ckptkit_trainers.diffusion.data import TrainingClips, know, read_data
from ckptkit_trainers.diffusion.digits import MovingDigits
from ckptkit_trainers.diffusion.folder import GifFolder, Shape, read_folder
from ckptkit_trainers.diffusion.gifs import read_gif, write_gif
from ckptkit_trainers.diffusion.model import check, from_patches, to_patches
from ckptkit_trainers.diffusion.prompts import prompts_of
from ckptkit_trainers.diffusion.words import OwnWords

SHAPE = Shape(frames=4, size=8, color=False)


def digits(**changes):
    return MovingDigits(60, **{"frames": 8, "size": 16, "seed": 0, "held_out": False} | changes)


# -- digits ---------------------------------------------------------------------------------------


def test_a_clip_follows_from_seed_and_number_alone():
    one, again, other = digits(), digits(), digits(seed=1)
    assert torch.equal(one[7][0], again[7][0])
    assert one[7][1] == again[7][1]
    assert [one[i][1] for i in range(20)] != [other[i][1] for i in range(20)]


def test_digits_move_a_pixel_a_frame_as_their_captions_say():
    ways = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
    clips, seen = digits(), set()
    for number in range(60):
        clip, caption = clips[number]
        rows, columns = ways[caption.split()[-1]]
        for before, after in zip(clip[0], clip[0, 1:], strict=False):
            assert torch.equal(torch.roll(before, (rows, columns), (0, 1)), after)
        seen.add(caption.split()[-1])
    assert seen == set(ways)


def test_held_out_images_are_never_trained_on():
    train, held_out = digits(), digits(held_out=True)
    kept = {image.tobytes() for image in train.images}
    assert len(train.images) + len(held_out.images) == 1797
    assert len(held_out.images) == 360
    assert sum(image.tobytes() in kept for image in held_out.images) == 0
    assert set(held_out.labels) == set(range(10))


# -- noise and captions ---------------------------------------------------------------------------


def test_captions_are_dropped_as_often_as_asked_under_each_samples_own_seed():
    config = Config(drop_captions=0.3, clips=400)
    read = read_data(config)
    clips = TrainingClips(read.train, read.tokens, config)
    empty = read.tokens([""])[0]

    def drawn(index):
        torch.manual_seed(index)
        return clips[index]

    dropped = sum(torch.equal(drawn(index).caption, empty) for index in range(400))
    assert 90 <= dropped <= 150
    assert all(map(torch.equal, drawn(3), drawn(3)))


def test_words_keep_their_numbers_when_more_come():
    words = OwnWords(["three", "moving"], most=8, length=6)
    first = words(["three moving"])
    assert first.tolist() == [[1, 4, 5, 2, 0, 0]]
    words.learn(["four", "moving", "five", "six"])
    assert words.names == {"words": ["three", "moving", "four", "five"]}, "there is room for 4"
    assert torch.equal(words(["Three moving"]), first)
    assert words(["three nine"]).tolist() == [[1, 4, 3, 2, 0, 0]]
    assert words.unknown("three nine six") == ["nine", "six"]
    assert words(["three " * 9]).tolist() == [[1, 4, 4, 4, 4, 2]]


def test_patches_are_put_back_where_they_were():
    clip = torch.randn(2, 3, 4, 16, 16)
    folded = to_patches(clip, 4)
    assert folded.shape == (2, 48, 4, 4, 4)
    assert torch.equal(from_patches(folded, 4), clip)
    assert torch.equal(folded[0, :16, 1, 2, 3], clip[0, 0, 1, 8:12, 12:16].flatten())


# -- folders --------------------------------------------------------------------------------------


def gif(path, n_frames=6, size=(20, 12), shift=0):
    """Frames of growing brightness."""
    levels = np.linspace(0 + shift, 200 + shift, n_frames).astype(np.uint8)
    frames = [Image.new("L", size, int(level)) for level in levels]
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=80, loop=0)


@pytest.fixture
def folder(tmp_path):
    for number in range(5):
        gif(tmp_path / f"sign{number}.gif", shift=number)
        (tmp_path / f"sign{number}.txt").write_text(f"a man signs {number}\n")
    (tmp_path / "._sign0.gif").write_bytes(b"\0\5\x16\7")
    return tmp_path


def captions_of(clips: GifFolder):
    return sorted(pair.caption for pair in clips.pairs)


def test_a_gif_is_brought_to_the_asked_frames_and_size(tmp_path):
    gif(tmp_path / "one.gif", n_frames=7)
    clip = read_gif(tmp_path / "one.gif", frames=4, size=8, color=True)
    assert clip.shape == (3, 4, 8, 8)
    expected = np.linspace(0, 200, 7).astype(np.uint8)[[0, 2, 4, 6]] / 127.5 - 1
    assert clip[0, :, 0, 0].tolist() == pytest.approx(expected.tolist(), abs=0.02)


def test_a_written_gif_is_read_back(tmp_path):
    clip = torch.linspace(-1, 1, 256).view(1, 4, 8, 8)
    write_gif(clip, tmp_path / "deep" / "one.gif", scale=3)
    with Image.open(tmp_path / "deep" / "one.gif") as picture:
        assert (picture.size, picture.n_frames) == ((24, 24), 4)
    back = read_gif(tmp_path / "deep" / "one.gif", frames=4, size=8, color=False)
    assert (back - clip).abs().max() < 0.3, "a palette of 256 colors, and scaled down again"
    assert (back - clip).abs().mean() < 0.05


def test_texts_beside_the_gifs_are_captions_and_hidden_files_are_passed_over(folder):
    train, held_out = read_folder(folder, SHAPE)
    assert len(train) > len(held_out) > 0
    assert sorted(captions_of(train) + captions_of(held_out)) == [
        f"a man signs {number}" for number in range(5)]  # fmt: skip
    clip, caption = train[0]
    assert clip.shape == (1, 4, 8, 8)
    assert caption.startswith("a man signs")


def test_a_list_of_captions_wins_and_may_name_its_columns(folder):
    (folder / "captions.csv").write_text(
        'file,caption\nsign0.gif,"hello, you"\n\nsign1.gif,goodbye\n'
    )
    train, held_out = read_folder(folder, SHAPE)
    assert sorted(captions_of(train) + captions_of(held_out)) == ["goodbye", "hello, you"]


def test_the_names_of_the_columns_are_told_from_a_clip_whatever_spaces_there_are(folder):
    rows = "sign0.gif ,hello\u2028you\r\nsign1.gif ,goodbye\r\n"
    (folder / "captions.csv").write_text(rows, newline="", encoding="utf-8")
    train, held_out = read_folder(folder, SHAPE)
    assert sorted(captions_of(train) + captions_of(held_out)) == ["goodbye", "hello\u2028you"]


def test_a_clip_without_a_caption_is_refused_wherever_its_caption_lacks(folder):
    (folder / "sign0.txt").write_text(" \n")
    with pytest.raises(InputError, match=r"sign0.txt: is empty; expected what sign0.gif shows"):
        read_folder(folder, SHAPE)
    (folder / "captions.csv").write_text("sign0.gif,\n")
    with pytest.raises(InputError, match=r"line 1: has no caption for sign0.gif"):
        read_folder(folder, SHAPE)


def test_what_of_a_folder_is_not_used_is_told(folder):
    config = Config(data=str(folder), caption_length=5, vocabulary=8)
    assert know(read_data(Config(data=str(folder), vocabulary=64)), config) == ()
    (folder / "sign9.mp4").touch()
    gif(folder / ".ipynb_checkpoints" / "sign0-checkpoint.gif")
    gif(folder / "runs" / "x" / "samples" / "epoch_001.gif")
    (folder / "runs" / "x" / "checkpoints").mkdir()
    read = read_data(config)
    n, (files, words, cut) = len(read.train), know(read, config)
    assert files == f"left out of {folder}: 1 .mp4 (sign9.mp4)"
    assert re.fullmatch(
        r"(\d) of \d words have no number \(\d(, \d)*\): --vocabulary 8 has room for 4", words
    )
    assert cut == (
        f"{n} of {n} captions are cut behind 3 words: --caption-length 5 counts their begin and end"
    )


def test_a_gif_that_breaks_off_anywhere_is_told_or_read(tmp_path):
    gif(tmp_path / "a.gif")
    whole = (tmp_path / "a.gif").read_bytes()
    told = 0
    for length in range(len(whole)):
        (tmp_path / "b.gif").write_bytes(whole[:length])
        try:
            assert read_gif(tmp_path / "b.gif", frames=2, size=8, color=False).shape[1] == 2
        except InputError:
            told += 1
    assert told > len(whole) // 3


def test_several_captions_of_one_gif_lie_on_the_same_side(folder):
    lines = [f"sign{number}.gif,{words}\n" for number in range(5) for words in "abc"]
    (folder / "captions.csv").write_text("".join(lines))
    train, held_out = read_folder(folder, SHAPE)
    assert len(train) + len(held_out) == 15
    assert len(train) % 3 == 0
    assert not {pair.path for pair in train.pairs} & {pair.path for pair in held_out.pairs}


def test_gifs_of_one_name_in_folders_of_their_own_are_several(tmp_path):
    for sign in ("hello", "goodbye", "please"):
        gif(tmp_path / sign / "1.gif")
        (tmp_path / sign / "1.txt").write_text(sign)
    assert [len(part) for part in read_folder(tmp_path, SHAPE)] == [2, 1]


def test_what_a_spreadsheet_writes_is_read(folder):
    listed = "".join(f"sign{number}.gif,hello {number}\n" for number in range(5))
    (folder / "captions.csv").write_text("\ufeff" + listed, encoding="utf-8")
    assert sum(map(len, read_folder(folder, SHAPE))) == 5


def test_an_ending_in_capitals_is_an_ending(folder):
    (folder / "sign2.gif").rename(folder / "sign2.GIF")
    assert sum(map(len, read_folder(folder, SHAPE))) == 5


@pytest.mark.parametrize("name", ["captions.csv", "sign1.txt"])
def test_captions_in_another_encoding_are_refused_by_the_files_name(folder, name):
    (folder / name).write_bytes("sign0.gif,café\n".encode("latin-1"))
    with pytest.raises(UnknownFormatError, match=rf"{name}: is no UTF-8 text .*save it again"):
        read_folder(folder, SHAPE)


def test_what_is_drawn_of_a_folder_are_captions_that_it_holds(folder):
    config = Config(data=str(folder), frames=4, size=8)
    read = read_data(config)
    held_out = [pair.caption for pair in read.held_out.pairs]
    assert prompts_of(config, read.held_out) == held_out
    assert prompts_of(replace(config, prompts="wave; a bow"), read.held_out) == ["wave", "a bow"]
    assert "three moving left" in prompts_of(Config(), read_data(Config()).held_out)


def test_a_frame_that_is_smaller_than_a_digit_is_refused():
    with pytest.raises(SettingError, match="--size: is 4; expected 8 or more"):
        read_data(Config(size=4))


def test_more_steps_than_levels_of_noise_are_refused():
    with pytest.raises(SettingError, match="--sample-steps: is 200; expected at most 100"):
        check(Config(timesteps=100, sample_steps=200))


def test_words_of_a_folder_are_counted_from_its_training_captions(folder):
    read = read_data(Config(data=str(folder), frames=4, size=8))
    assert read.words[:3] == ["a", "man", "signs"]
    assert read.tokens(["a man signs"]).shape == (1, 8)


def test_wrong_folders_say_what_was_looked_for(tmp_path, folder):
    with pytest.raises(NotFoundError, match=r"is no folder; expected GIFs, with captions.csv"):
        read_folder(tmp_path / "nowhere", SHAPE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="has 0 GIFs with a caption"):
        read_folder(tmp_path / "empty", SHAPE)
    (folder / "sign3.txt").unlink()
    with pytest.raises(NotFoundError, match=r"sign3.txt: is not there; .* caption of sign3.gif"):
        read_folder(folder, SHAPE)
    listed = folder / "captions.csv"
    listed.write_text("sign0.gif,hello\nsign9.gif,bye\n")
    with pytest.raises(NotFoundError, match=r"captions.csv, line 2: there is no sign9.gif"):
        read_folder(folder, SHAPE)
    listed.write_text("sign0.gif,hello, you\n")
    with pytest.raises(UnknownFormatError, match=r"line 1: has 3 columns; .*quote captions"):
        read_folder(folder, SHAPE)


def test_what_is_no_gif_or_breaks_off_is_named(tmp_path):
    (tmp_path / "text.gif").write_text("hello")
    with pytest.raises(UnknownFormatError, match=r"text.gif: is no picture"):
        read_gif(tmp_path / "text.gif", frames=2, size=8, color=False)
    gif(tmp_path / "cut.gif", size=(64, 64))
    whole = (tmp_path / "cut.gif").read_bytes()
    (tmp_path / "cut.gif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnknownFormatError, match=r"cut.gif: cannot be decoded"):
        read_gif(tmp_path / "cut.gif", frames=2, size=8, color=False)
