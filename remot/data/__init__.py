"""From annotated clips to prompts: annotation readers, exact frames, synthetic clips, triplets and questions."""
