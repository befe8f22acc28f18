"""Names of families, where a capability cannot be read from a model."""

#: Families that this library's tests compare with transformers for images and videos, packed and separate.
COMPARED = frozenset({"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"})
