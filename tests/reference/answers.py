"""The answer a completion gives, as the public ReMoT evaluation describes it: regular expressions, any case."""

import re

FLAGS = re.IGNORECASE | re.DOTALL | re.ASCII


def extract(completion):
    if found := re.search("<answer>(.*?)</answer>", completion, FLAGS):
        return found[1].strip().upper()
    if found := re.search("</think>(.*)", completion, FLAGS):
        return found[1].strip().upper()
    return ""
