"""There is one place that opens images, with the formats that it decodes: others start foreign programs."""

import ast

import pytest

from tests.test_architecture import FILES, PACKAGE

DOOR = "data/media/images.py"
#: Functions that decode what they like, by the end of their dotted name.
OPENERS = ("Image.open", "io.read_image", "io.decode_image", "imageio.imread", "cv2.imread", "pyplot.imread")


def openings(source):
    """Calls that open an image, and imports of such functions by their own name: (line, formats are given)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(OPENERS):
            yield node.lineno, any(keyword.arg == "formats" for keyword in node.keywords)
        if isinstance(node, ast.ImportFrom) and node.module in ("PIL.Image", "torchvision.io", "imageio", "cv2"):
            yield node.lineno, False


def test_images_are_opened_at_one_door():
    found = {file: list(openings((PACKAGE / file).read_text())) for file in FILES}
    ((line, has_formats),) = found.pop(DOOR)
    assert has_formats, line
    assert {file: calls for file, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "source",
    ["Image.open(path)", "PIL.Image.open(path)", "from PIL.Image import open", "torchvision.io.read_image(path)"],
)
def test_the_check_can_fail(source):
    assert list(openings(source)) == [(1, False)]
