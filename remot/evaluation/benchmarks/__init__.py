"""Benchmarks by name, and what runs them: ``remot evaluate``."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from remot.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from remot.evaluation.benchmarks.base import Benchmark

#: Module and class of each benchmark below this package, imported when it is asked for.
BENCHMARKS: Mapping[str, str] = {
    "remot-bench": "remot_bench:RemotBench",
    "jsonl": "own_questions:OwnQuestions",
    "remot-16k-test": "remot_16k_test:Remot16KTest",
    "vsi-bench": "vsi_bench:VSIBench",
    "sti-bench": "sti_bench:STIBench",
    "charades-sta": "charades_sta:CharadesSTA",
    "nextgqa": "nextgqa:NExTGQA",
    "v-star": "vstar:VSTaR",
    "mmsi-bench": "mmsi_bench:MMSIBench",
    "spar-bench": "spar_bench:SPARBench",
    "vlm2-bench": "vlm2_bench:VLM2Bench",
    "got-10k": "got10k:GOT10k",
    "spatial-narrative": "spatial_narrative:SpatialNarrative",
}


def benchmark_class(name: str) -> "type[Benchmark]":
    """The class of a benchmark.

    Raises:
        ConfigError: If there is none of this name.
    """
    require_benchmark(name)
    module, _, attribute = BENCHMARKS[name].partition(":")
    found: type[Benchmark] = getattr(import_module(f"{__name__}.{module}"), attribute)
    return found


def require_benchmark(name: str) -> None:
    """Refuse a name that no benchmark has.

    Raises:
        ConfigError: With the nearest.
    """
    if name not in BENCHMARKS:
        msg = f"--benchmark {name!r:.60} is unknown; {did_you_mean(name, BENCHMARKS)}"
        raise ConfigError(msg)
