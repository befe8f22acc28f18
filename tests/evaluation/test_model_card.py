"""The card of an exported policy."""

import json

import pytest
import yaml

from remot.errors import ConfigError
from remot.evaluation.model_card import CardFacts, model_card, read_results, read_scores, run_config, write_card

NUMBERS = {"mean": 0.54, "low": 0.5, "high": 0.58, "num_scenes": 36}
RESULTS = {
    "sampled": {"partial": {"base": NUMBERS, "trained": NUMBERS | {"mean": 0.84, "low": None}, "change": NUMBERS}},
    "greedy": {"overall": {"base": {"mean": None, "low": None, "high": None}, "trained": NUMBERS, "change": None}},
    "num_scenes": 36,
    "num_prompts": 108,
    "num_completions": 432,
    "max_new_tokens": 48,
    "notes": ["intervals of rows with fewer than 6 scenes hold less than 95 %"],
}


def card(facts=None, config=None, results=None):
    return model_card(facts or CardFacts("remot-tiny", is_adapter=True), config=config or {}, results=results or {})


def head_of(text):
    return yaml.safe_load(text.split("---")[1])


def test_the_head_names_base_and_library():
    assert head_of(card()) == {
        "base_model": "remot-tiny",
        "library_name": "peft",
        "pipeline_tag": "image-text-to-text",
        "tags": ["remot", "motion", "lora"],
    }
    assert head_of(card(CardFacts("ORG/NAME", is_adapter=False)))["library_name"] == "transformers"


def test_results_are_a_table_with_intervals():
    text = card(results=RESULTS)
    assert "| partial | 0.540 [0.50, 0.58] | 0.840 | +0.540 [+0.50, +0.58] |" in text
    assert "| overall (greedy) | – | 0.540 [0.50, 0.58] | – |" in text
    assert "432 completions of at most 48 new tokens for 108 held-out prompts from 36 scenes" in text
    assert RESULTS["notes"][0] in text


def test_without_results_there_is_no_number():
    assert "| metric |" not in card()
    assert "remot evaluate" in card()


SCORES = {
    "benchmark": "remot-bench",
    "version": "52590eec" * 8,
    "weights_hash": "ab" * 32,
    "settings": {"decoding": "greedy", "max_new_tokens": 512},
    "num_rows": 693,
    "limit": 100,
    "num_answered": 90,
    "num_scenes": 40,
    "num_skipped": 10,
    "metrics": {
        "overall": NUMBERS | {"n": 90},
        "domain/nav|<b>\n`x`/overall": NUMBERS | {"n": 12, "low": None},
        "broken": 3,
    },
}


def test_benchmarks_are_tables_with_version_interval_and_count():
    text = model_card(CardFacts("remot-tiny", is_adapter=True), config={}, results={}, benchmarks=[SCORES])
    assert "| overall | 0.540 [0.50, 0.58] | 90 |" in text
    assert "| domain/nav/(b> 'x'/overall | 0.540 | 12 |" in text
    assert "**remot-bench**, version `52590eec52590eec`" in text
    for fact in ("90 prompts from 40 scenes", "first of 693", "10 left out", "greedy", "max_new_tokens 512"):
        assert fact in text
    assert "Not evaluated" not in text
    assert "hold less than 95 %" not in text
    assert text.index("overall | 0.5") < text.index("<details>") < text.index("domain/nav")


def test_scores_of_other_weights_are_refused(tmp_path):
    file = tmp_path / "scores.json"
    file.write_text(json.dumps(SCORES))
    assert read_scores([file], "ab" * 32) == [SCORES]
    with pytest.raises(ConfigError, match="abababababababab"):
        read_scores([file], "cd" * 32)
    for content, fact in (
        (json.dumps(SCORES | {"weights_hash": ""}), "hash"),
        ("{}", "remot evaluate"),
        ("[", "cannot"),
    ):
        file.write_text(content)
        with pytest.raises(ConfigError, match=fact):
            read_scores([file], "ab" * 32)
    with pytest.raises(ConfigError, match=r"none\.json"):
        read_scores([tmp_path / "none.json"], "ab" * 32)


def test_a_benchmark_without_a_version_names_its_rows_and_few_scenes_are_said():
    few = SCORES | {"version": "", "num_scenes": 2, "source": {"data": "/home/lab/my_questions.jsonl"}}
    text = model_card(CardFacts("remot-tiny", is_adapter=True), config={}, results={}, benchmarks=[few])
    assert "rows of my_questions.jsonl; 90 prompts from 2 scenes" in text
    assert "intervals over 2 scenes hold less than 95 %" in text
    assert "/home" not in text


def test_the_recipe_holds_no_path_of_the_machine():
    config = {
        "seed_everything": 0,
        "root": "/home/lab/clips",
        "checkpoint": {"dirpath": "/home/lab/runs"},
        "trainer": {
            "max_steps": 60,
            "limit_val_batches": 0,
            "deterministic": None,
            "profiler": False,
            "logger": {"init_args": {"tracking_uri": "sqlite:////home/lab/mlflow.db"}},
        },
        "model": {"policy": {"source": {"pretrained": "/home/lab/models/Qwen3-VL-4B"}}},
        "data": {"exclude": ["/home/lab/test.txt"], "batch_size": 4},
    }
    text = card(config=config)
    assert "/home" not in text
    assert yaml.safe_load(text.split("```yaml\n")[1].split("```")[0]) == {
        "seed_everything": 0,
        "trainer": {"max_steps": 60, "limit_val_batches": 0},
        "model": {"policy": {"source": {"pretrained": "Qwen3-VL-4B"}}},
        "data": {"exclude": ["test.txt"], "batch_size": 4},
    }


def test_the_usage_of_an_adapter_loads_its_base(tmp_path):
    text = card(CardFacts("ORG/NAME", is_adapter=True))
    code = text.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    assert 'from_pretrained("ORG/NAME")' in code
    write_card(tmp_path, CardFacts("ORG/NAME", is_adapter=True, step=7), config={}, results={})
    assert "7 steps" in (tmp_path / "README.md").read_text()
    assert "for 1 step " in card(CardFacts("ORG/NAME", is_adapter=True, step=1))


def test_results_of_the_runs_folder_are_found(tmp_path):
    assert read_results(None, tmp_path, 60) == {}
    assert read_results(None, None, 60) == {}
    of_step = RESULTS | {"step": 60}
    (tmp_path / "held_out.json").write_text(json.dumps(of_step))
    assert read_results(None, tmp_path, 60) == of_step
    assert read_results(None, tmp_path, 40) == {}  # the scores of other weights
    assert read_results(tmp_path / "held_out.json", None, 40) == of_step  # asked for by name


@pytest.mark.parametrize("content", ["", "[1]", "{", "[" * 100_000, " " * ((1 << 20) + 1)])
def test_a_file_that_is_no_table_is_named(tmp_path, content):
    file = tmp_path / "table.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match=r"table\.json"):
        read_results(file, None, None)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"table\.json"):
        read_results(tmp_path / "table.json", None, None)


@pytest.mark.parametrize(
    ("content", "config"), [("a: 1", {"a": 1}), ("[1]", {}), ("a: [", {}), ("!!python/name:os.system", {})]
)
def test_the_runs_configuration_is_read_if_it_can_be(tmp_path, content, config):
    assert run_config(tmp_path) == {}
    (tmp_path / "config.yaml").write_text(content)
    assert run_config(tmp_path) == config
