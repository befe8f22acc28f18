"""A responder that says what a test tells it to, and prompts without media."""

from remot.evaluation.benchmarks.base import BenchmarkPrompt, ModelReply


def prompt_of(name, *, gold="A", scene="s", row=None, **settings):
    return BenchmarkPrompt(name, f"text of {name}", gold, scene, row=row, **settings)


class StubResponder:
    """Answers by the prompt's id; counts the batches, and can be stopped after some of them."""

    description = "stub"

    def __init__(self, answers, stops_after=None, identity="stub"):
        self.answers, self.stops_after = answers, stops_after
        self.identity = {"stub": identity}
        self.batches = []

    def answer(self, batch, settings):  # noqa: ARG002
        if len(self.batches) == self.stops_after:
            raise KeyboardInterrupt
        names = [question.prompt_id for question in batch.questions]
        self.batches.append(names)
        return [ModelReply(self.answers(name), num_tokens=len(name), cut_off=False) for name in names]


def verdicts_of(benchmark, prompts, replies):
    """Verdicts on texts, in the order of the prompts."""
    return [
        benchmark.judged(prompt, ModelReply(text, 3, cut_off=False))
        for prompt, text in zip(prompts, replies, strict=True)
    ]


def values_of(benchmark, verdicts):
    """Metric means by name."""
    from remot.evaluation.benchmarks.estimates import measured

    return {one.metric.name: one.estimate.mean for one in measured(benchmark.metrics(verdicts), num_resamples=10)}


def counts_of(benchmark, verdicts):
    """Units in the denominators by name."""
    return {metric.name: metric.statistic.count for metric in benchmark.metrics(verdicts)}
