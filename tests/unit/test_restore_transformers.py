"""Real models of transformers: made from a config, saved, restored, wrapped, on meta, changed."""

import pytest
import torch

import ckptkit
from ckptkit.errors import CoverageError, MismatchError

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.real_library,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


def gpt2(seed=0, **changes):
    torch.manual_seed(seed)
    sizes = {"n_layer": 2, "n_embd": 32, "n_head": 2, "vocab_size": 60, "n_positions": 16}
    ids = {"bos_token_id": 0, "eos_token_id": 0}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**{**sizes, **ids, **changes}))


def bert(seed=0, kind="BertModel", **changes):
    torch.manual_seed(seed)
    sizes = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 37, "vocab_size": 60, "max_position_embeddings": 16,
    }  # fmt: skip
    config = transformers.BertConfig(**{**sizes, **changes})
    return getattr(transformers, kind)(config)


def equal(one, other):
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.fixture(params=["sealed", "torch", "safetensors", "folder"])
def saved_gpt2(request, tmp_path):
    """The same model, as four kinds of files have it."""
    model = gpt2()
    if request.param == "sealed":
        ckptkit.save(tmp_path / "x", {"model": model})
    elif request.param == "torch":
        torch.save({"model": model.state_dict(), "epoch": 1}, tmp_path / "x")
    elif request.param == "safetensors":
        from safetensors.torch import save_model

        save_model(model, str(tmp_path / "x.safetensors"))
        return tmp_path / "x.safetensors"
    else:
        model.save_pretrained(tmp_path / "x")
    return tmp_path / "x"


def test_every_kind_of_file_fills_the_model_in_place(saved_gpt2):
    live = gpt2(1)
    places = {name: tensor.data_ptr() for name, tensor in live.state_dict().items()}
    report = ckptkit.restore(saved_gpt2, {"model": live})
    assert equal(live, gpt2())
    assert {name: tensor.data_ptr() for name, tensor in live.state_dict().items()} == places
    assert live.lm_head.weight is live.transformer.wte.weight
    assert report.component("model").coverage.fraction == 1.0


def test_every_kind_of_file_fills_a_meta_model(saved_gpt2):
    with torch.device("meta"):
        live = gpt2(1)
    ckptkit.restore(saved_gpt2, {"model": live})
    assert equal(live, gpt2())
    assert live.lm_head.weight is live.transformer.wte.weight
    probe = torch.arange(6).reshape(1, 6)
    assert torch.equal(live.eval()(probe).logits, gpt2().eval()(probe).logits)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_wrappers_around_it_are_undone(saved_gpt2):
    live = gpt2(1)
    ckptkit.restore(saved_gpt2, {"model": torch.compile(torch.nn.DataParallel(live))})
    assert equal(live, gpt2())


def test_a_bigger_vocabulary_is_refused_or_sliced(saved_gpt2):
    live = gpt2(1, vocab_size=70)
    with pytest.raises(MismatchError, match=r"\[60, 32\] in the file, \[70, 32\] in the model"):
        ckptkit.restore(saved_gpt2, {"model": live})
    ckptkit.restore(saved_gpt2, {"model": live}, on_shape="slice")
    assert torch.equal(live.transformer.wte.weight[:60], gpt2().transformer.wte.weight)
    assert torch.equal(
        live.transformer.h[1].attn.c_attn.weight, gpt2().transformer.h[1].attn.c_attn.weight
    )


def test_a_classifier_takes_the_body_and_keeps_its_own_head(tmp_path):
    ckptkit.save(tmp_path / "x", {"model": bert()})
    live = bert(1, "BertForSequenceClassification", num_labels=3)
    head = live.classifier.weight.clone()
    with pytest.raises(MismatchError, match=r"classifier\.weight"):
        ckptkit.restore(tmp_path / "x", {"model": live})
    report = ckptkit.restore(tmp_path / "x", {"model": live}, allow_missing="classifier.*")
    assert equal(live.bert, bert())
    assert torch.equal(live.classifier.weight, head)
    assert report.component("model").status == "partly"


def test_the_wrong_model_altogether_is_refused_whatever_is_allowed(tmp_path):
    ckptkit.save(tmp_path / "x", {"model": gpt2()})
    live = bert(1)
    before = {name: value.clone() for name, value in live.state_dict().items()}
    with pytest.raises(CoverageError):
        ckptkit.restore(tmp_path / "x", {"model": live}, allow_missing=True, allow_unexpected=True)
    with pytest.raises(MismatchError) as caught:
        ckptkit.restore(tmp_path / "x", {"model": live})
    assert all(torch.equal(before[name], value) for name, value in live.state_dict().items())
    assert len(str(caught.value.report).splitlines()) <= 40


def test_a_resumed_training_goes_on_with_the_same_losses(tmp_path):
    def step(model, optimizer, number):
        torch.manual_seed(number)
        ids = torch.randint(0, 60, (2, 8))
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    model = gpt2(resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for number in range(3):
        step(model, optimizer, number)
    ckptkit.save(tmp_path / "x", {"model": model, "optimizer": optimizer})
    wanted = [step(model, optimizer, number) for number in range(3, 6)]

    again = gpt2(7, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
    # As many scripts do it: two groups, in another order than the model's own.
    decayed = [p for p in again.parameters() if p.dim() > 1]
    plain = [p for p in again.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": plain}, {"params": decayed}], lr=1e-2)
    ckptkit.restore(tmp_path / "x", {"model": again, "optimizer": optimizer})
    assert [step(again, optimizer, number) for number in range(3, 6)] == wanted
