"""The limit that data checks images against is the one at which the image processors give up."""

import pytest
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from remot.data.media.images import MAX_ASPECT_RATIO


def test_aspect_ratio():
    smart_resize(1, MAX_ASPECT_RATIO)
    smart_resize(8 * MAX_ASPECT_RATIO, 8)
    with pytest.raises(ValueError, match="aspect ratio"):
        smart_resize(8, 8 * MAX_ASPECT_RATIO + 1)
