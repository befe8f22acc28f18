"""The parts of ``benchmarks/grpo_step.py``: what is measured, how, and one module for each library."""
