"""Folders of models from elsewhere: pipes in place of files, bombs, and chat templates that do not end."""

import json
import shutil
import struct
from types import SimpleNamespace

import pytest
from transformers import AutoProcessor

from remot.errors import CheckpointError, ConfigError
from remot.models import ModelSource
from remot.models.inputs import chat_template
from remot.models.inputs.chat_template import render_prompt, require_bounded_template
from remot.models.tiny import CHAT_TEMPLATE
from tests.faults.doors import NO_FILES, bounded
from tests.tiny import model_folder

pytestmark = pytest.mark.timeout(120)

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "processor_config.json")
MESSAGES = [{"role": "user", "content": [{"type": "text", "text": "Which way?"}]}]


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(model_folder(), tmp_path / "model")
    return tmp_path / "model"


def replace(path, make):
    path.unlink(missing_ok=True)
    make(path)


@pytest.mark.parametrize("name", [*FILES, "chat_template.jinja"])
def test_what_is_no_file_in_a_model(folder, name):
    held = folder / name
    kept = held.read_bytes() if held.is_file() else None
    for make in (make for make in NO_FILES if make.__name__ != "folder"):
        replace(held, make)
        with bounded(seconds=30, mebibytes=400), pytest.raises(CheckpointError, match=name):
            ModelSource(str(folder)).load()
        (folder / "pipe").unlink(missing_ok=True)
    held.unlink()
    if kept is not None:
        held.write_bytes(kept)
    ModelSource(str(folder)).load()


def deep(path):
    path.write_text("[" * 100_000 + "]" * 100_000)


def huge(path):
    with path.open("wb") as file:
        file.truncate(8 * 2**30)


def not_an_object(path):
    path.write_text("[1, 2]")


def empty(path):
    path.touch()


def no_header(path):
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")


@pytest.mark.parametrize("make", [deep, huge, not_an_object, empty, no_header])
@pytest.mark.parametrize("name", FILES)
def test_bombs_in_a_model(folder, name, make):
    if name == "model.safetensors" and make is huge:
        pytest.skip("weights have no largest size")
    replace(folder / name, make)
    with bounded(seconds=30, mebibytes=400), pytest.raises((CheckpointError, ConfigError)):
        ModelSource(str(folder)).load()


def test_an_adapter_whose_weights_are_a_pipe(tmp_path):
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": "remot-tiny"})
    )
    for make in NO_FILES:
        path = tmp_path / "adapter_model.safetensors"
        make(path)
        with bounded(seconds=30, mebibytes=400), pytest.raises(CheckpointError, match="adapter_model"):
            ModelSource(str(tmp_path)).adapter()
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        (tmp_path / "pipe").unlink(missing_ok=True)


# -- chat templates --------------------------------------------------------------------------------------------------

NESTED = "".join(f"{{% for a{k} in range(99999) %}}" for k in range(4)) + "".join("{% endfor %}" for _ in range(4))
#: Each takes more time, memory or text than there is.
BOMBS = {
    "loop": NESTED,
    "text": "{% for a in range(99999) %}" + "x" * 1000 + "{% endfor %}",
    "doubled": "{% set n = namespace(x='abc') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "replaced": "{% set n = namespace(x='a') %}{% for a in range(60) %}"
    "{% set n.x = n.x.replace('a', 'aa') %}{% endfor %}",
    "centred": "{{ 'a'|center(99999999999) }}",
    "formatted": "{{ '%99999999999d' % 1 }}",
    "repeated": "{{ 'a' * 999999 * 999999 }}",
    "calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "fails": "{{ raise_exception('no\\x1b[2Jtemplate') }}",
    "undefined": "{{ messages[99].content.x.y }}",
}
#: Each is refused before it runs, since a single step of it takes for ever.
ENDLESS_STEPS = (
    "{{ 10 ** 10 ** 9 }}",
    "{% for a in range(60) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "{{ x * 10000000 }}",
)


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(model_folder())


@pytest.mark.parametrize("name", BOMBS)
def test_templates_end(processor, monkeypatch, name):
    monkeypatch.setattr(chat_template, "MAX_SECONDS", 1.0)
    monkeypatch.setattr(chat_template, "MAX_BYTES", 300 * 2**20)
    monkeypatch.setattr(processor, "chat_template", BOMBS[name])
    with bounded(seconds=30, mebibytes=400), pytest.raises(ConfigError, match="chat template"):
        render_prompt(processor, MESSAGES)
    monkeypatch.setattr(processor, "chat_template", CHAT_TEMPLATE)
    assert "Which way?" in render_prompt(processor, MESSAGES)  # nothing is left of the bounds


@pytest.mark.parametrize("template", ENDLESS_STEPS)
def test_endless_steps_are_refused(template):
    with bounded(seconds=10), pytest.raises(ConfigError, match="chat template"):
        require_bounded_template(template)


def test_templates_in_use_are_taken():
    require_bounded_template(CHAT_TEMPLATE)
    require_bounded_template({"default": "{% generation %}{{ ' ' * 4 }}{% endgeneration %}", "b": None})
    require_bounded_template(None)


def test_a_model_with_a_looping_template_is_refused(folder, monkeypatch):
    monkeypatch.setattr(chat_template, "MAX_SECONDS", 1.0)
    (folder / "chat_template.jinja").write_text(NESTED)
    loaded = ModelSource(str(folder)).load()
    from remot.models.tokenization import PolicyTexts

    with bounded(seconds=30, mebibytes=400), pytest.raises(ConfigError, match="1 s"):
        PolicyTexts(loaded.processor, loaded.eos_token_ids)


def test_an_interruption_that_comes_too_late_is_dropped(monkeypatch):
    """The template may end while the timer fires."""
    monkeypatch.setattr(chat_template, "MAX_SECONDS", 0.0)
    for _ in range(300):
        text = ""
        quick = SimpleNamespace(apply_chat_template=lambda *_, **__: "text")
        try:
            text = render_prompt(quick, MESSAGES)
        except ConfigError:
            continue
        assert text == "text"
