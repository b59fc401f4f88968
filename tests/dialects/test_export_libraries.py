"""Exports are opened by the libraries that they are for: transformers, torch and Lightning's users."""

import logging

import pytest
import torch

from ckptkit.verbs.diff import DiffOptions, diff
from ckptkit.verbs.export import ExportOptions, export
from ckptkit.verbs.migrate import migrate

pytestmark = [
    pytest.mark.real_library,
    pytest.mark.filterwarnings("ignore"),  # of their own doings
]


def tiny(kind):
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=40, n_positions=16, n_embd=8, n_layer=2, n_head=2
        )
        return transformers.GPT2LMHeadModel(config)
    config = transformers.BertConfig(
        vocab_size=40,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
    )
    return transformers.BertForMaskedLM(config)


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
@pytest.mark.parametrize("form", ["folder", "sealed", "torch"])
@pytest.mark.parametrize("shard", [5_000_000_000, 2_000])
def test_from_pretrained_opens_what_was_exported_with_ties_tied(tmp_path, kind, form, shard):
    model = tiny(kind)
    source = tmp_path / "source"
    model.save_pretrained(source)
    if form == "sealed":
        source = migrate(source, tmp_path / "v2").target
    if form == "torch":  # the state_dict has every tied name; the config is put beside by hand
        torch.save(model.state_dict(), tmp_path / "x.pt")
        source = tmp_path / "x.pt"
    export(source, tmp_path / "out", ExportOptions(to="hf", max_shard_nbytes=shard))
    if form == "torch":
        model.config.save_pretrained(tmp_path / "out")
    again, told = type(model).from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    embedding, head = again.get_input_embeddings(), again.get_output_embeddings()
    assert embedding.weight.data_ptr() == head.weight.data_ptr()
    if form != "torch":
        assert diff(source, tmp_path / "out", DiffOptions(sections=("model",))).same


def test_a_cast_export_is_what_transformers_itself_casts(tmp_path):
    model = tiny("gpt2")
    model.save_pretrained(tmp_path / "source")
    export(tmp_path / "source", tmp_path / "out", ExportOptions(to="hf", dtype="bfloat16"))
    again = type(model).from_pretrained(tmp_path / "out", dtype="auto")
    assert again.dtype is torch.bfloat16
    for name, value in model.to(torch.bfloat16).state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_lightning_checkpoint_becomes_weights_for_the_plain_module(tmp_path):
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(3, 1)

        def training_step(self, batch, _):
            return self.net(batch[0]).pow(2).mean()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    data = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.randn(8, 3)), batch_size=4
    )
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    module = Module()
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    options = ExportOptions(to="torch", sections=("model",), rename=((r"^net\.", ""),))
    export(tmp_path / "x.ckpt", tmp_path / "w.pt", options)
    plain = torch.nn.Linear(3, 1)
    plain.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
    assert torch.equal(plain.weight, module.net.weight)
    whole = export(tmp_path / "x.ckpt", tmp_path / "all.pt", ExportOptions(to="torch"))
    loaded = torch.load(tmp_path / "all.pt", weights_only=True)
    assert loaded["optimizer"]["state"][0]["exp_avg"].shape == (1, 3)
    assert whole.proved
