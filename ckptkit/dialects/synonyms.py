"""The many names under which training scripts save the same thing, and how a key is understood."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


WEIGHTS = (
    "state_dict model_state_dict model_state model net network net_state net_state_dict weights "
    "model_weights params module module_state_dict backbone student"
)
EMA = (
    "state_dict_ema model_ema ema ema_state_dict ema_model ema_model_state_dict "
    "model_ema_state_dict ema_weights ema_params g_ema params_ema averaged_model swa_model "
    "swa_state_dict teacher"
)
OPTIMIZER = (
    "optimizer optimizer_state_dict optimizer_state optimizers optim optim_state_dict opt "
    "opt_state opt_state_dict optimizer_states optimizers_state_dict last_optimizer_state "
    "optimizer_dict"
)
SCHEDULER = (
    "scheduler scheduler_state_dict scheduler_state lr_scheduler lr_scheduler_state_dict "
    "lr_scheduler_state lr_schedulers lr_sched sched schedulers scheduler_states "
    "opt_param_scheduler param_schedulers"
)
SCALER = (
    "scaler scaler_state_dict scaler_state grad_scaler grad_scaler_state_dict amp amp_scaler "
    "amp_state_dict amp_scaling_state native_amp_scaling_state loss_scaler gradscaler"
)
EPOCH = (
    "epoch current_epoch epochs_run epochs_completed trained_epochs completed_epochs n_epochs_done "
    "last_epoch next_epoch start_epoch epoch_num epoch_idx"
)
STEP = (
    "global_step step steps iteration iter iters iter_num niter n_iter num_updates global_steps "
    "total_steps optimizer_steps n_steps current_step train_step step_count"
)
SAMPLES = "samples samples_seen n_samples num_samples consumed_samples global_samples"
CONFIG = (
    "config args opt_args cfg hparams hyper_parameters hyperparameters model_args train_args "
    "trainer_args options config_dict model_config model_cfg hyper_params training_args "
    "training_config opts settings configuration"
)
RNG = (
    "rng rng_state rng_states random_state random_states torch_rng_state cuda_rng_state "
    "numpy_rng_state np_rng_state py_rng python_rng_state rng_state_cuda cuda_rng_state_all "
    "torch_rng numpy_rng cuda_rng random_rng_state"
)
HISTORY = (
    "history train_history val_history training_history histories train_hist log_history "
    "loss_history metrics_history train_losses val_losses losses logs"
)
METRICS = "metrics metric train_metrics val_metrics eval_metrics test_metrics metrics_dict results"

_SECTIONS = {
    "model": WEIGHTS,
    "ema": EMA,
    "optimizer": OPTIMIZER,
    "scheduler": SCHEDULER,
    "scaler": SCALER,
    "epoch": EPOCH,
    "step": STEP,
    "samples": SAMPLES,
    "config": CONFIG,
    "rng": RNG,
    "history": HISTORY,
    "metrics": METRICS,
}

#: Word -> version 1 key, and its rank among its synonyms (0 is the likeliest).
SYNONYMS: dict[str, tuple[str, int]] = {
    word: (section, rank)
    for section, words in _SECTIONS.items()
    for rank, word in enumerate(words.split())
}

#: What a word of a longer key says about its section: optimizer_G, lr_scheduler_d, netG, vae_ema.
_TELLING = {
    "optimizer": "optimizer", "optimizers": "optimizer", "optim": "optimizer", "opt": "optimizer",
    "scheduler": "scheduler", "schedulers": "scheduler", "sched": "scheduler",
    "scaler": "scaler", "ema": "ema", "swa": "ema", "averaged": "ema",
    "history": "history", "hist": "history", "rng": "rng",
    "args": "config", "config": "config", "cfg": "config", "hparams": "config",
}  # fmt: skip

#: Words that name a part of a model: with a state_dict behind them they are weights.
_ROLES = _words(
    "generator discriminator critic actor policy value encoder decoder net netg netd g d unet vae "
    "model models head heads backbone classifier projector predictor student teacher backbones "
    "gen disc dis neck text vision image audio module network networks lora adapter "
    "adapters"
)

#: Words of a key that say nothing about which one it is.
_FILLER = _words("state dict states sd lr")

_MEASURES = _words(
    "loss losses acc accuracy acc1 acc5 top1 top5 prec1 prec5 iou miou dice f1 score psnr ssim auc "
    "auroc map metric metrics ppl perplexity bleu rouge wer cer mae mse rmse fid lpips fitness "
    "recall precision reward nll bpc bpb l1 kappa kid r2"
)
_LOWER_IS_BETTER = _words(
    "loss losses err error mae mse rmse wer cer ppl perplexity fid nll lpips kid bpc bpb"
)
_HIGHER_IS_BETTER = _words(
    "acc accuracy acc1 acc5 top1 top5 prec1 prec5 iou miou dice f1 score auc auroc map psnr ssim "
    "fitness bleu rouge recall precision reward kappa r2"
)


class Sense(NamedTuple):
    """What a key seems to speak of: a version 1 key, how likely (0 best), and whose it is."""

    section: str
    rank: int
    role: str


@lru_cache(maxsize=4096)
def words_of(key: str) -> tuple[str, ...]:
    """The words of a key, as they are written: ``optimizer_G`` and ``netG`` have two each."""
    words: list[str] = []
    word = ""
    for before, letter in zip(" " + key, key, strict=False):
        if not letter.isalnum():
            words.append(word)
            word = ""
        elif letter.isupper() and before.islower():
            words.append(word)
            word = letter
        else:
            word += letter
    return tuple(w for w in (*words, word) if w)


def sense_of(key: str) -> Sense | None:
    """Which section a key names, by itself; what it holds must still look the part."""
    if len(key) > 200:
        return None
    exact = SYNONYMS.get(key.lower())
    if exact is not None:
        return Sense(exact[0], exact[1], "")
    words = words_of(key)
    lower = [word.lower() for word in words]
    if lower and lower[0] == "best":
        return Sense("best", 50, "")
    for telling, section in _TELLING.items():
        if telling in lower:
            kept = [w for w in words if w.lower() != telling and w.lower() not in _FILLER]
            return Sense(section, 50, "_".join(kept))
    if key.lower().endswith(("state_dict", "_weights", "_params")) or _ROLES & set(lower):
        return Sense("model", 50, key.removesuffix("_state_dict").removesuffix("_weights"))
    return Sense("metrics", 60, "") if is_measure(key) else None


def is_measure(key: str) -> bool:
    """Say whether a key names a measured quantity, such as ``val_loss``."""
    return any(word.lower() in _MEASURES for word in words_of(key))


def mode_of(name: str) -> str | None:
    """Say whether the smallest ("min") or the largest ("max") value of a measure is the best."""
    words = {word.lower() for word in words_of(name)}
    if words & _LOWER_IS_BETTER:
        return "min"
    return "max" if words & _HIGHER_IS_BETTER else None
