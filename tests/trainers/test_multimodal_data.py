"""Where the multimodal trainer's pairs come from, and how they become tensors."""

import unicodedata

import numpy as np
import pytest
import torch
from PIL import Image

from ckptkit.errors import CkptkitError
from ckptkit_trainers.multimodal.captions import read_captions
from ckptkit_trainers.multimodal.config import Config
from ckptkit_trainers.multimodal.data import Collate, Pairs, as_tensor
from ckptkit_trainers.multimodal.flickr import Flickr
from ckptkit_trainers.multimodal.glyphs import Glyphs
from ckptkit_trainers.multimodal.parts import parts_of
from ckptkit_trainers.multimodal.tones import tones
from ckptkit_trainers.multimodal.wav import read_wav
from ckptkit_trainers.multimodal.words import HIDDEN, Words, learn_words, tokenizer_of, words_of
from tests.trainers.multimodal_small import TINY, painted, wav


@pytest.fixture(scope="module")
def glyphs():
    return Glyphs()


def every(source):
    return [pair for pairs in source.splits.values() for pair in pairs]


def letter(pair):
    return chr(int(pair.name.removeprefix("U+"), 16))


def pairs_of(source, split="train", *, moved=True, **settings):
    config = Config(**(TINY | settings))
    words = Words(parts_of(config, source), config.max_words)
    return Pairs(source, source.splits[split], config, words, moved=moved)


# -- the glyphs ------------------------------------------------------------------------------------


def test_thousands_of_glyphs_are_split_into_parts_that_share_no_name(glyphs):
    names = {split: {pair.caption for pair in pairs} for split, pairs in glyphs.splits.items()}
    assert len(names["train"]) > 4000
    assert (len(names["val"]), len(names["test"])) == (500, 500)
    assert not names["train"] & names["val"]
    assert not names["train"] & names["test"]
    assert not names["val"] & names["test"]


def test_a_caption_is_the_unicode_name_of_what_is_drawn(glyphs):
    for pair in every(glyphs)[::97]:
        assert pair.caption == unicodedata.name(letter(pair))


def test_every_glyph_is_seen_and_stays_on_its_page(glyphs):
    for pair in every(glyphs)[::29]:
        pixels = as_tensor(glyphs.picture(pair, 64), 32)
        assert pixels.shape == (3, 32, 32)
        assert pixels.max() > 0.1, pair
    font = glyphs._at(48)
    widest = max(every(glyphs), key=lambda pair: font.getlength(letter(pair)))
    columns = np.asarray(glyphs.picture(widest, 64)).any(axis=(0, 2))
    assert font.getlength(letter(widest)) > 64
    assert columns.sum() > 48  # it fills the width that there is
    assert not columns.all()  # and was not cut at either side


def test_who_is_held_out_does_not_depend_on_the_seed_of_the_training(glyphs):
    torch.manual_seed(123)
    assert Glyphs().splits == glyphs.splits


# -- Flickr8k's layout -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "tabs"])
@pytest.mark.parametrize("images", ["Images", "Flicker8k_Dataset"])
def test_both_forms_of_flickr8k_are_read(tmp_path, form, images):
    source = Flickr(painted(tmp_path / "data", form=form, images=images))
    assert {split: len(pairs) for split, pairs in source.splits.items()} == {
        "train": 12, "val": 4, "test": 4,
    }  # fmt: skip
    first = source.splits["val"][0]
    assert (first.name, first.caption) == ("0_red.jpg", "a red circle , on white")
    assert source.picture(first, 16).size == (24, 20)
    assert source.notes == ()


def test_the_archives_folder_inside_its_own_folder_is_found(tmp_path):
    data = painted(tmp_path / "data", images="Flicker8k_Dataset/Flicker8k_Dataset")
    assert len(every(Flickr(data))) == 20


def test_without_split_files_the_lot_is_the_same_each_time_and_shares_no_image(tmp_path):
    data = painted(tmp_path / "data", splits=False)
    one, other = Flickr(data), Flickr(data)
    assert one.splits == other.splits
    images = [{pair.name for pair in pairs} for pairs in one.splits.values()]
    assert sum(map(len, images)) == len(set.union(*images)) == 10
    assert all(images)


def test_captions_without_an_image_or_a_split_are_counted_and_told(tmp_path):
    data = painted(tmp_path / "data")
    (data / "Images" / "3_yellow.jpg").unlink()
    (data / "Flickr_8k.testImages.txt").unlink()
    source = Flickr(data)
    assert source.notes == (
        "2 captions have no image: left out", "4 captions are in none of the splits: left out",
    )  # fmt: skip


def test_spoken_captions_belong_to_their_caption(tmp_path):
    data = painted(tmp_path / "data", sounds=True)
    (data / "wavs" / "4_purple_1.wav").unlink()
    source = Flickr(data, audio=True)
    assert "1 captions have no sound: left out" in source.notes
    pair = source.splits["train"][1]
    assert (pair.name, pair.sound[-15:]) == ("2_blue.jpg", "wavs/2_blue_1.wav"[-15:])
    assert source.sound(pair, 8000).shape == (1600,)


def test_spoken_captions_of_pictures_that_are_no_jpeg_are_found_too(tmp_path):
    data = painted(tmp_path / "data", sounds=True)
    for path in (data / "Images").iterdir():
        path.rename(path.with_suffix(".png"))
    for path in data.glob("*.txt"):
        path.write_text(path.read_text().replace(".jpg", ".png"))
    assert len(every(Flickr(data, audio=True))) == 20


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda d: [p.unlink() for p in (d / "Images").iterdir()], "none of 20 captions"),
        (lambda d: (d / "Images").rename(d / "pictures"), "no folder of images; it holds Flickr_8k"),
        (lambda d: (d / "Flickr_8k.devImages.txt").unlink(), "no caption is in the split of Flickr_8k.dev"),
        (lambda d: (d / "captions.txt").unlink(), "has no captions; it holds"),
        (lambda d: (d / "captions.txt").write_text("image,caption\n"), "holds no caption"),
        (lambda d: (d / "captions.txt").write_text("image,caption\nno comma\n"), "line 2 is 'no comma'"),
        (lambda d: (d / "captions.txt").write_text("a.jpg#0\ta dog\na.jpg a cat\n"), "line 2 is 'a.jpg a cat'"),
        (lambda d: (d / "captions.txt").write_bytes(b"\xff\xfe\x00"), "is no UTF-8 text"),
    ],
)  # fmt: skip
def test_a_wrong_folder_is_told_what_was_looked_for(tmp_path, spoil, told):
    data = painted(tmp_path / "data")
    spoil(data)
    with pytest.raises(CkptkitError) as raised:
        Flickr(data)
    assert told in str(raised.value)
    assert raised.value.expected
    assert raised.value.advice


def test_a_mark_that_nobody_closes_swallows_no_other_caption(tmp_path):
    data = painted(tmp_path / "data")
    lines = (data / "captions.txt").read_text().splitlines()
    lines[1] = '0_red.jpg,"a red circle, on white'
    lines[2:2] = [f"0_red.jpg,{'a long caption ' * 20}{number}" for number in range(600)]
    (data / "captions.txt").write_text("\n".join(lines))
    source = Flickr(data)
    assert len(every(source)) == 620
    assert source.splits["val"][0].caption == '"a red circle, on white'


def test_commas_and_marks_inside_of_captions_stay(tmp_path):
    (tmp_path / "captions.txt").write_text(
        '\ufeffimage,caption\na.jpg,"a dog, ""Rex"", runs"\na.jpg,a cat , and "two" dogs\n',
        encoding="utf-8",
    )
    found = read_captions(tmp_path / "captions.txt")
    assert [one.text for one in found] == ['a dog, "Rex", runs', 'a cat , and "two" dogs']
    assert [one.key for one in found] == ["a.jpg#0", "a.jpg#1"]


def test_a_list_of_a_split_in_another_encoding_is_refused_by_its_name(tmp_path):
    data = painted(tmp_path / "data")
    (data / "Flickr_8k.trainImages.txt").write_bytes("café.jpg\n".encode("latin-1"))
    with pytest.raises(CkptkitError, match=r"trainImages.txt: is no UTF-8 text"):
        Flickr(data)


def test_a_picture_of_16_bits_is_refused_because_it_would_be_cut_off(tmp_path):
    data = painted(tmp_path / "data")
    Image.new("I;16", (24, 20), 30000).save(data / "Images" / "2_blue.jpg", "PNG")
    source = Flickr(data)
    with pytest.raises(CkptkitError, match=r"2_blue.jpg: .*expected 8 bits a channel"):
        source.picture(source.splits["train"][0], 16)


def test_what_is_wrong_with_a_picture_is_never_told_to_be_recovered(tmp_path):
    """`ckptkit recover` is for checkpoints."""
    data = painted(tmp_path / "data")
    (data / "Images" / "2_blue.jpg").write_bytes(b"no picture")
    source = Flickr(data)
    with pytest.raises(CkptkitError) as raised:
        source.picture(source.splits["train"][0], 16)
    assert "recover" not in str(raised.value)


def test_a_tokenizer_is_looked_for_on_the_disk_alone(tmp_path):
    with pytest.raises(CkptkitError, match=r"has no tokenizer_config.json; .*let model and"):
        words_of(str(tmp_path))


def test_a_folder_that_is_not_there_or_has_no_sounds_is_told(tmp_path):
    with pytest.raises(CkptkitError, match="is no folder"):
        Flickr(tmp_path / "nowhere")
    with pytest.raises(CkptkitError, match=r"has no spoken captions.*train without --audio"):
        Flickr(painted(tmp_path / "data"), audio=True)


def test_a_picture_that_is_none_is_named(tmp_path):
    data = painted(tmp_path / "data")
    (data / "Images" / "2_blue.jpg").write_bytes(b"no picture")
    source = Flickr(data)
    with pytest.raises(CkptkitError, match=r"2_blue.jpg: is no picture, whatever"):
        source.picture(source.splits["train"][0], 16)


# -- sound -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [1, 2, 4])
def test_wav_files_of_every_width_are_the_same_sound(tmp_path, kind):
    sound = np.sin(np.arange(800) / 7)
    wav(tmp_path / "one.wav", sound, kind=kind)
    read = read_wav(tmp_path / "one.wav", 8000)
    assert torch.allclose(read, torch.from_numpy(sound).float(), atol=0.02)


def test_stereo_is_mixed_and_another_rate_keeps_the_tone(tmp_path):
    clock = np.arange(16000) / 16000
    tone = np.sin(2 * np.pi * 400 * clock)
    wav(tmp_path / "two.wav", np.stack([tone, np.zeros_like(tone)], 1), rate=16000)
    read = read_wav(tmp_path / "two.wav", 8000)
    assert read.shape == (8000,)
    assert torch.fft.rfft(read).abs().argmax() == 400
    assert 0.4 < read.abs().max() < 0.51


def test_a_wav_file_that_is_none_is_named(tmp_path):
    (tmp_path / "no.wav").write_bytes(b"RIFF nothing")
    with pytest.raises(CkptkitError, match=r"no.wav: is no WAV file that can be read"):
        read_wav(tmp_path / "no.wav", 8000)


def test_letters_are_tones_of_their_own():
    spectra = [torch.fft.rfft(tones(letter, 8000)).abs().argmax().item() for letter in "az09"]
    assert spectra == sorted(set(spectra))
    assert not tones(" -", 8000).any()


# -- words and tensors -----------------------------------------------------------------------------


def test_the_same_captions_give_the_same_words_and_letters_spell_the_rest(glyphs):
    captions = [pair.caption for pair in glyphs.splits["train"]]
    text = learn_words(captions, 300)
    assert text == learn_words(captions, 300)
    tokenizer = tokenizer_of(text)
    assert tokenizer.get_vocab_size() <= 300
    assert tokenizer.decode(tokenizer.encode("Greek ZYGOTE").ids).replace(" ", "") == "greekzygote"


def test_training_pictures_move_by_their_own_stream_and_held_out_ones_never(glyphs):
    moved, still = pairs_of(glyphs), pairs_of(glyphs, moved=False)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(moved[5]["image"])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(still[5]["image"], still[5]["image"])
    assert torch.equal(still[5]["text"], still[5]["hidden"])
    assert torch.equal(pairs_of(glyphs, augment=0.0)[5]["image"], still[5]["image"])


def test_some_words_are_hidden_never_the_start_and_a_batch_ends_with_its_longest(glyphs):
    pairs = pairs_of(glyphs)
    torch.manual_seed(0)
    batch = Collate(pairs.words)([pairs[i] for i in range(40)])
    hidden = batch["text"] != batch["hidden"]
    assert hidden.any(1).all()
    assert not hidden[:, 0].any()
    mask = tokenizer_of(pairs.words._parts["tokenizer"]).token_to_id(HIDDEN)
    assert (batch["hidden"][hidden] == mask).all()
    assert (batch["text"][:, -1] != pairs.words.pad).any()
    assert batch["text"].shape[1] <= TINY["max_words"]
