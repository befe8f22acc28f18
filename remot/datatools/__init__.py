"""What `remot data` does: build, audit, contact sheets, validation."""
