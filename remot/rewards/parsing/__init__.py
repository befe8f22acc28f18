"""What completions say, read from hostile text: linear time, bounded results, nothing evaluated, nothing raised.

Texts are found by string search, small regular expressions whose repetitions are all bounded, and the standard
library's JSON decoder with its numbers limited. Whatever cannot be read is None or an empty list.
"""
