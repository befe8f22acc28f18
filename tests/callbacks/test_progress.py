import re

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from rich.text import Text

from remot.callbacks import PhaseProgressBar
from remot.terminal import console

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Phases(BoringModel):
    def progress_fields(self):
        return {"phase": "GRPO" if self.global_step > 3 else "SFT", "reward": 7.126, "kl": 0.00213}


def fit(model, tmp_path, bar, *, max_steps=12, limit_val_batches=0, **arguments):
    trainer = Trainer(
        max_steps=max_steps,
        limit_val_batches=limit_val_batches,
        num_sanity_val_steps=0,
        logger=False,
        callbacks=[bar],
        enable_model_summary=False,
        enable_checkpointing=False,
        accelerator="cpu",
        default_root_dir=tmp_path,
        **arguments,
    )
    trainer.fit(model)
    return trainer


def plain_lines(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    return [line for line in err.splitlines() if re.match(r"SFT|GRPO|training|evaluating", line)]


def test_plain_lines_where_there_is_no_terminal(tmp_path, capsys):
    """The first step, then every fifth after it, then the last."""
    fit(Phases(), tmp_path, PhaseProgressBar(every_steps=5, every_seconds=1e9))
    lines = plain_lines(capsys)
    assert [line.split()[:2] for line in lines] == [
        ["SFT", "1/12"],
        ["GRPO", "6/12"],
        ["GRPO", "11/12"],
        ["GRPO", "12/12"],
    ]
    assert re.fullmatch(r"GRPO 6/12 · reward 7\.13 · kl 0\.00213 · \S+ s/step · 0:00:00 left", lines[1])


def test_lines_come_after_some_seconds_too(tmp_path, capsys):
    fit(Phases(), tmp_path, PhaseProgressBar(every_steps=1000, every_seconds=0), max_steps=3)
    assert len(plain_lines(capsys)) == 3


def test_module_without_fields_and_run_without_end(tmp_path, capsys):
    fit(BoringModel(), tmp_path, PhaseProgressBar(every_steps=5), max_steps=-1, max_epochs=1, limit_train_batches=2)
    (line,) = plain_lines(capsys)
    assert re.fullmatch(r"training 1 · \S+ s/step", line)


def test_a_run_that_takes_ages(tmp_path, capsys):
    """10¹⁸ steps are no duration that Python can name."""
    fit(BoringModel(), tmp_path, PhaseProgressBar(5), max_steps=10**18, max_epochs=1, limit_train_batches=2)
    (line,) = plain_lines(capsys)
    assert re.fullmatch(r"training 1/10{18} · \S+ s/step · over 9999 years left", line)


def test_evaluation_is_announced(tmp_path, capsys):
    fit(Phases(), tmp_path, PhaseProgressBar(), max_steps=1, limit_val_batches=3, limit_train_batches=1)
    assert "evaluating 3 batches …" in plain_lines(capsys)


def terminal_bar(tmp_path):
    bar, file = PhaseProgressBar(), (tmp_path / "terminal").open("w+", encoding="utf-8")
    bar._console = console(file=file, force_terminal=True, force_interactive=True, width=120, color_system=None)
    return bar, file


def shown(file):
    file.seek(0)
    return file.read()


def test_live_bar(tmp_path):
    bar, file = terminal_bar(tmp_path)
    fit(Phases(), tmp_path, bar, max_steps=4, limit_val_batches=2, limit_train_batches=2)
    text = shown(file)
    assert re.search(r"GRPO .*4/4 .*reward 7\.13 · kl 0\.00213 · \S+ s/step · 0:00:00 left", text)
    assert "evaluating" in text
    assert bar._live is None


def test_text_above_the_bar_is_inert(tmp_path):
    bar, file = terminal_bar(tmp_path)

    class Printing(Phases):
        def on_train_batch_end(self, *_):
            bar.print_above("[red]sample\x1b[2J")
            bar.print_above(Text("styled\x1b", style="bold"))
            self.print("from", "self.print")

    fit(Printing(), tmp_path, bar, max_steps=1)
    text = shown(file)
    assert "[red]sample�[2J" in text
    assert "styled�" in text
    assert "from self.print" in text


def test_bar_is_gone_after_an_error(tmp_path):
    bar, _ = terminal_bar(tmp_path)

    class Failing(Phases):
        def training_step(self, *_):
            raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        fit(Failing(), tmp_path, bar)
    assert bar._live is None


def test_disabled_bar_is_silent(capsys):
    bar = PhaseProgressBar()
    bar.disable()
    bar.print_above("nothing")
    assert capsys.readouterr().err == ""
