"""The decoding loop, its buffers and memory plans."""
