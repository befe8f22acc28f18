"""Draws docs/images/triplet.png: a held-out prompt of a run, with the model's answers before and after training.

    python docs/images/triplet.py mlruns/1/RUN_ID/artifacts/samples test/0/11 docs/images/triplet.png

The first argument is the folder with ``held_out_final.html`` that ``remot fit`` writes.
"""

import base64
import html
import io
import re
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image


def article_of(page: Path, prompt_id: str) -> str:
    """The part of a page about one prompt."""
    articles = page.read_text().split("<article")[1:]
    return next(one for one in articles if f"<h2>{prompt_id} " in one)


def texts_of(article: str) -> list[str]:
    """The question, the base model's completion and the trained one's."""
    return [html.unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", article, flags=re.DOTALL)]


def main(samples: Path, prompt_id: str, out: Path) -> None:
    """Draw one prompt."""
    article = article_of(samples / "held_out_final.html", prompt_id)
    question, before, after = texts_of(article)
    gold = "".join(re.findall(r'gold">\S+ (\w)', article))
    images = [Image.open(io.BytesIO(base64.b64decode(one))) for one in re.findall(r'src="data:[^,]+,([^"]+)"', article)]
    figure = plt.figure(figsize=(9, 5.2), dpi=110)
    for k, image in enumerate(images):
        axes = figure.add_axes((0.03 + 0.32 * k, 0.46, 0.3, 0.48))
        axes.imshow(image, interpolation="nearest")
        axes.set_title(f"image {k + 1}", fontsize=10)
        axes.axis("off")
    lines = [*((line, "black") for line in question.splitlines()[:-1]), (f"right answer   {gold}", "black")]
    for name, answer in (("before training", before), ("after training", after)):
        right = f"<answer>{gold}</answer>" in answer
        lines += [(f"{name}   {answer}", "#18794e" if right else "#b42318")]
    for row, (line, colour) in enumerate(lines):
        figure.text(0.03, 0.37 - 0.055 * row, line, fontsize=9, color=colour, family="monospace")
    figure.savefig(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
