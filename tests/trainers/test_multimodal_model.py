"""The multimodal trainer's parts: views, losses, figures, frozen and pretrained encoders."""

import json
import math

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    T5Config,
    T5EncoderModel,
    ViTConfig,
    ViTModel,
)

from ckptkit.errors import CkptkitError
from ckptkit_trainers.multimodal.config import Config
from ckptkit_trainers.multimodal.embed import Points
from ckptkit_trainers.multimodal.encoders import described
from ckptkit_trainers.multimodal.evaluate import measured
from ckptkit_trainers.multimodal.loss import contrastive, guessing, opposed
from ckptkit_trainers.multimodal.model import Brain, Seen
from ckptkit_trainers.multimodal.parts import parts_of
from ckptkit_trainers.multimodal.recall import by_chance, ranks, recalls
from ckptkit_trainers.multimodal.words import learn_words
from tests.trainers.multimodal_small import TINY


def brain(**settings):
    config = Config(**(TINY | settings))
    torch.manual_seed(3)
    return Brain(config, described(config), pretrained=True).eval()


def batch(n_pairs=3, **more):
    torch.manual_seed(1)
    text = torch.randint(4, 60, (n_pairs, 7))
    text[0, 4:] = 0
    return {"image": torch.rand(n_pairs, 3, 16, 16), "text": text, "hidden": text,
            "number": torch.arange(n_pairs), **more}  # fmt: skip


def seen(views, scale=10.0):
    views = {name: torch.nn.functional.normalize(view, dim=-1) for name, view in views.items()}
    return Seen(views, torch.zeros(1), torch.tensor(scale))


# -- views -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", ["resnet", "vit", "clip"])
def test_every_kind_of_image_encoder_makes_views_of_length_one(image):
    views = brain(image=image).embed(batch())
    assert {name: tuple(view.shape) for name, view in views.items()} == {
        "image": (3, 24), "text": (3, 24),
    }  # fmt: skip
    assert torch.allclose(views["image"].norm(dim=1), torch.ones(3))


def test_what_fills_a_caption_up_is_not_seen():
    made = brain()
    given = batch()
    longer = {**given, "text": torch.nn.functional.pad(given["text"], (0, 3))}
    assert torch.allclose(made.embed(given)["text"], made.embed(longer)["text"], atol=1e-6)


def test_every_parameter_is_trained_so_that_several_processes_may_join():
    for settings in ({}, {"image": "vit"}, {"image": "clip"}, {"audio": True}):
        made = brain(**settings).train()
        given = batch(sound=torch.randn(3, 2000))
        given["hidden"] = given["text"].clone()
        given["hidden"][:, 1] = 2
        looked = made(given)
        total = contrastive(looked, given["number"]) + guessing(
            looked, given["text"], given["hidden"]
        )
        total.backward()
        idle = [name for name, weight in made.named_parameters() if weight.grad is None]
        assert idle == [], settings


def test_sound_changes_nothing_that_was_there_and_joins_with_the_others():
    without, heard = brain(), brain(audio=True)
    for name, value in without.state_dict().items():
        assert torch.equal(heard.state_dict()[name], value), name
    views = heard.embed(batch(sound=torch.randn(3, 2000)))
    assert set(views) == {"image", "text", "sound", "text+sound", "image+sound", "image+text"}
    assert set(opposed(views)) == {
        ("image", "text"), ("image", "sound"), ("text", "sound"), ("image", "text+sound"),
        ("text", "image+sound"), ("sound", "image+text"),
    }  # fmt: skip


# -- losses and figures ----------------------------------------------------------------------------


def test_pairs_that_lie_together_cost_little_and_mixed_ones_much():
    points = torch.eye(4)
    good = contrastive(seen({"image": points, "text": points}), torch.arange(4))
    bad = contrastive(seen({"image": points, "text": points.roll(1, 0)}), torch.arange(4))
    assert good == pytest.approx(math.log(1 + 3 * math.exp(-10)), abs=1e-5)
    assert bad > 9


def test_captions_of_one_picture_are_not_told_apart():
    points = torch.eye(3)[[0, 0, 1]]
    one = contrastive(seen({"image": points, "text": points}, 50.0), torch.tensor([7, 7, 8]))
    assert one == pytest.approx(2 / 3 * math.log(2), abs=1e-4)  # the two share what there is
    apart = contrastive(
        seen({"image": torch.eye(3), "text": torch.eye(3)}, 50.0), torch.tensor([7, 7, 8])
    )
    assert apart > 10  # they belong together, and lie apart


def test_only_hidden_words_are_guessed():
    text, hidden = torch.tensor([[3, 5, 6]]), torch.tensor([[3, 2, 6]])
    words = torch.zeros(1, 3, 8)
    assert guessing(Seen({}, words, torch.tensor(1.0)), text, hidden) == pytest.approx(math.log(8))
    words[0, 1, 5] = 50.0
    assert guessing(Seen({}, words, torch.tensor(1.0)), text, hidden) < 1e-6
    assert guessing(Seen({}, words, torch.tensor(1.0)), text, text) == 0


def test_recall_and_median_rank_are_those_counted_by_hand():
    gallery = torch.eye(12)
    queries = torch.eye(12)[:4].clone()
    queries[1] = torch.eye(12)[5] + 0.5 * torch.eye(12)[1]  # rank 2
    queries[2] = -torch.eye(12)[2]  # rank 12
    right = torch.eye(12)[:4] > 0
    found = recalls(queries, gallery, right)
    assert (found["R@1"], found["R@5"], found["R@10"]) == (0.5, 0.75, 0.75)
    assert found["median_rank"] == 1.0  # of 1, 2, 12, 1: torch's lower median


def test_a_query_with_several_right_answers_has_found_them_by_the_first():
    right = torch.tensor([[True, True, False, False]])
    found = recalls(
        torch.tensor([[1.0, 0.0]]), torch.tensor([[0.1, 0.0], [0.9, 0], [0.5, 0], [0, 1]]), right
    )
    assert (found["R@1"], found["median_rank"]) == (1.0, 1.0)


def test_chance_is_what_a_gallery_in_any_order_gives():
    one = torch.eye(500) > 0
    assert by_chance(one) == {"R@1": 0.002, "R@5": 0.01, "R@10": 0.02}
    five = torch.zeros(2, 20, dtype=torch.bool)
    five[:, :5] = True
    assert by_chance(five)["R@1"] == 0.25
    assert by_chance(five)["R@5"] == pytest.approx(
        1 - math.comb(15, 5) / math.comb(20, 5), abs=1e-4
    )


def test_a_picture_stands_in_the_gallery_once_however_many_captions_it_has():
    points = Points()
    eye = torch.eye(3)[[0, 0, 1, 1, 2, 2]]
    points.add({"image": eye, "text": eye}, torch.tensor([4, 4, 5, 5, 6, 6]))
    found = measured(points)
    assert (found["pairs"], found["pictures"]) == (6, 3)
    first = {row["search"]: row["R@1"] for row in found["recall"]}
    assert first["text to image"] == first["image to text"] == 1.0
    assert first["text to image by chance"] == pytest.approx(1 / 3, abs=1e-4)


# -- pretrained encoders ---------------------------------------------------------------------------


def test_pretrained_encoders_are_opened_with_their_weights_words_and_pixels(tmp_path):
    torch.manual_seed(9)
    vit = ViTModel(ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                             intermediate_size=16, image_size=16, patch_size=8))  # fmt: skip
    vit.save_pretrained(tmp_path / "vit")
    pixels = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1.0, 1.0, 2.0]}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(pixels))
    bert = BertModel(BertConfig(vocab_size=40, hidden_size=12, num_hidden_layers=1,
                                num_attention_heads=2, intermediate_size=16))  # fmt: skip
    bert.save_pretrained(tmp_path / "bert")
    (tmp_path / "bert" / "tokenizer.json").write_text(
        learn_words(["red circle", "blue square"], 40)
    )
    made = brain(image_from=str(tmp_path / "vit"), text_from=str(tmp_path / "bert"))
    name = "embeddings.patch_embeddings.projection.weight"
    assert torch.equal(made.image.encoder.state_dict()[name], vit.state_dict()[name])
    assert made.image.shift.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert made.words.out_features == 40
    config = Config(**TINY, text_from=str(tmp_path / "bert"))
    assert parts_of(config, None)["tokenizer"] == learn_words(["red circle", "blue square"], 40)


def test_of_a_clip_model_the_tower_that_is_meant_is_taken(tmp_path):
    tower = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    text = tower | {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2}
    vision = tower | {"image_size": 16, "patch_size": 8}
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    clip.save_pretrained(tmp_path / "clip")
    made = brain(image_from=str(tmp_path / "clip"), text_from=str(tmp_path / "clip"))
    own = dict(clip.vision_model.named_parameters())["embeddings.class_embedding"]
    assert torch.equal(made.image.encoder.state_dict()["embeddings.class_embedding"], own)
    assert made.embed(batch() | {"text": torch.full((3, 4), 7)})["text"].shape == (3, 24)


def test_a_folder_that_holds_no_encoder_is_told(tmp_path):
    with pytest.raises(CkptkitError, match=r"has no config\.json.*save_pretrained"):
        brain(image_from=str(tmp_path))


def vit_in(folder):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    ViTModel(
        ViTConfig(**sizes, intermediate_size=16, image_size=64, patch_size=16)
    ).save_pretrained(folder)


def test_pictures_of_another_size_than_a_pretrained_encoder_sees_are_refused(tmp_path):
    vit_in(tmp_path)
    with pytest.raises(CkptkitError, match=r"--image-size: is 16; expected 64, which the encoder"):
        brain(image_from=str(tmp_path), image_size=16)
    assert brain(image_from=str(tmp_path), image_size=64)


def test_texts_that_are_longer_than_a_pretrained_encoder_reads_are_refused(tmp_path):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(**sizes, max_position_embeddings=12)).save_pretrained(tmp_path)
    with pytest.raises(CkptkitError, match=r"--max-words: is 24; expected at most 12"):
        brain(text_from=str(tmp_path), max_words=24)


def test_an_encoder_of_the_other_kind_is_refused_by_its_type(tmp_path):
    vit_in(tmp_path)
    with pytest.raises(CkptkitError, match=r"of the type 'vit'; expected a text encoder"):
        brain(text_from=str(tmp_path))
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(CkptkitError, match=r"of the type 'bert'; expected an image encoder"):
        brain(image_from=str(tmp_path))


def test_of_t5_the_half_that_reads_is_taken_and_made_again_without_its_folder(tmp_path):
    sizes = {"d_model": 12, "d_kv": 6, "d_ff": 12, "num_layers": 1, "num_heads": 2}
    T5EncoderModel(T5Config(vocab_size=40, **sizes)).save_pretrained(tmp_path)
    config = Config(**TINY, text_from=str(tmp_path))
    parts = described(config)
    for pretrained in (True, False):
        made = Brain(config, parts, pretrained=pretrained)
        assert type(made.text.encoder).__name__ == "T5EncoderModel"
        assert made.embed(batch() | {"text": torch.full((3, 4), 7)})["text"].shape == (3, 24)


@pytest.mark.parametrize("value", [1.0, float("nan")])
def test_points_that_are_all_alike_find_no_better_than_chance(value):
    alike = torch.full((51, 4), value)
    found = recalls(alike, alike, torch.eye(51, dtype=torch.bool))
    assert found["median_rank"] == 26
    assert found["R@1"] == pytest.approx(1 / 51, abs=1e-3)


def test_a_wrong_answer_that_is_as_like_counts_half():
    likeness = torch.tensor([[0.9, 0.5, 0.5, 0.1], [0.9, 0.5, 0.4, 0.1]])
    relevant = torch.tensor([[0, 1, 0, 0], [0, 1, 0, 1]]).bool()
    assert ranks(likeness, relevant).tolist() == [2.5, 2.0]
