"""Prompts on disk: schema, writer and reader."""
