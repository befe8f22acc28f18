"""What the probe shows about training: a signal, what is cut off, the gap of the sampler, KL, time and memory."""

import os
from collections.abc import Iterator, Mapping

from remot.commands.diagnosis.findings import Finding, Level, duration, size
from remot.commands.diagnosis.probe import ProbedPhase

#: Mean gap between the log-probabilities of sampler and scorer, and KL before the first update: (look at, wrong), by
#: whether weights are held in float32.
GAPS = {True: (1e-4, 1e-2), False: (0.05, 0.3)}
ZERO_KL = {True: 1e-5, False: 1e-2}
#: Share of groups with a signal below which a line is added; shares cut off that are to be looked at, and are wrong.
FEW_SIGNALS, SOME_CUT_OFF, MANY_CUT_OFF = 0.2, 0.05, 0.5
#: Processes that wait for a core, each, from which times are not to be trusted.
BUSY = 1.5


def rollout_findings(phase: ProbedPhase, num_groups: int, *, is_float32: bool, reference: str) -> Iterator[Finding]:
    """From the steps of GRPO.

    Args:
        phase: Its steps.
        num_groups: Groups of a step.
        is_float32: Weights are held in float32.
        reference: What KL is measured against, in words; "" if nothing is.
    """
    count = f"{num_groups * len(phase.metrics)} groups"
    yield _signal_finding(phase, count)
    yield _cut_off_finding(phase, count)
    yield _gap_finding(phase, is_float32=is_float32)
    yield _kl_finding(phase.metrics[0].get("kl"), is_float32=is_float32, reference=reference)


def _signal_finding(phase: ProbedPhase, count: str) -> Finding:
    equal = phase.mean("reward/frac_zero_std")
    if equal is None:
        return Finding("open", "groups with a signal", "the objective reports none")
    share, facts = 1 - equal, {"share": 1 - equal}
    text = f"{share:.0%} of {count} have different rewards; mean reward {phase.mean('reward/total'):.3g}"
    advice = "raise model.grpo.num_completions or the temperature, add easier prompts, or warm up with SFT"
    level: Level = "fail" if share == 0 else "warn" if share < FEW_SIGNALS else "fine"
    return Finding(level, "groups with a signal", text, "" if level == "fine" else advice, facts)


def _cut_off_finding(phase: ProbedPhase, count: str) -> Finding:
    finished = phase.mean("completion/frac_finished")
    if finished is None:
        return Finding("open", "completions cut off", "the objective samples none")
    share = 1 - finished
    length = phase.mean("completion/num_tokens") or 0.0
    level: Level = "fail" if share > MANY_CUT_OFF else "warn" if share > SOME_CUT_OFF else "fine"
    text = f"{share:.1%} of the completions of {count}; mean length {length:.0f} tokens"
    advice = "" if level == "fine" else "raise model.grpo.max_new_tokens"
    return Finding(level, "completions cut off", text, advice, {"share": share})


def _gap_finding(phase: ProbedPhase, *, is_float32: bool) -> Finding:
    mean, largest = phase.mean("rollout/logprob_gap_mean"), phase.mean("rollout/logprob_gap_max")
    if mean is None or largest is None:
        return Finding("open", "sampler and scorer", "no log-probabilities were compared")
    some, wrong = GAPS[is_float32]
    level: Level = "fail" if not mean <= wrong else "warn" if mean > some else "fine"
    text = f"log-probabilities differ by {mean:.2g} in the mean and {largest:.2g} at most"
    advice = "" if level == "fine" else "see rollout/logprob_gap in docs/troubleshooting.md; try prefix_sharing: off"
    return Finding(level, "sampler and scorer", text, advice, {"mean": mean, "max": largest})


def _kl_finding(kl: float | None, *, is_float32: bool, reference: str) -> Finding:
    if not reference or kl is None:
        return Finding("open", "KL at the start", "nothing is compared with a reference (beta is 0)")
    text = f"{kl:.2g} to {reference} before the first update"
    if abs(kl) <= ZERO_KL[is_float32]:
        return Finding("fine", "KL at the start", text, facts={"kl": kl})
    advice = "expected where an adapter is continued and KL is to the base model, or with dropout; else report it"
    return Finding("warn", "KL at the start", text, advice, {"kl": kl})


def memory_findings(phases: Mapping[str, ProbedPhase], device: str) -> Iterator[Finding]:
    """What was measured against what was estimated; the error of the estimate."""
    for name, phase in phases.items():
        error = phase.estimated_bytes / max(1, phase.peak_bytes) - 1
        text = (
            f"{size(phase.peak_bytes)} of tensors at most above the weights on {device}, gradients and optimizer "
            f"included; {size(phase.estimated_bytes)} were estimated for completions of that length ({error:+.0%})"
        )
        if phase.process_bytes is not None:
            text += f"; the process held {size(phase.process_bytes)} before, libraries and weights included"
        facts = {"measured": phase.peak_bytes, "estimated": phase.estimated_bytes}
        yield Finding("fine", f"memory of {name}", text, facts=facts)


def time_findings(
    phases: Mapping[str, ProbedPhase], steps: Mapping[str, int], answer_seconds: float | None, num_batches: int
) -> Iterator[Finding]:
    """Seconds of a step, and of the whole run with its evaluations.

    Args:
        phases: The probed phases.
        steps: Optimizer steps of each phase in the run; none if the run has no end by steps.
        answer_seconds: Of one batch of held-out prompts, sampled and greedily.
        num_batches: Such batches of all evaluations of the run.
    """
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    for name, phase in phases.items():
        counted = phase.seconds[1:] or phase.seconds
        facts = {"seconds": phase.step_seconds, "first": phase.seconds[0], "least": min(counted), "load": load}
        text = (
            f"{phase.step_seconds:.2g} s for a step of {name}, {min(counted):.2g} to {max(counted):.2g} s over "
            f"{len(counted)}; the first of a run took {phase.seconds[0]:.2g} s"
        )
        if load > BUSY:
            advice = "measure again on an idle machine: these times, and that of the run, are too long"
            yield Finding("warn", "time per step", f"{text}; {load:.1f} processes wait for each core", advice, facts)
        else:
            yield Finding("fine", "time per step", text, facts=facts)
    if not steps:
        yield Finding("open", "time of the run", "the run ends by time or epochs, not by trainer.max_steps")
        return
    training = sum(phases[name].step_seconds * count for name, count in steps.items())
    evaluation = (answer_seconds or 0.0) * num_batches
    text = f"{duration(training + evaluation)}: {sum(steps.values())} steps {duration(training)}, evaluations "
    text += f"{duration(evaluation)}; start, checkpoints and pages come on top"
    facts = {"seconds": training + evaluation, "training": training, "evaluation": evaluation}
    yield Finding("fine", "time of the run", text, facts=facts)
