"""What several tasks share: wordings, candidates, frame selection."""
