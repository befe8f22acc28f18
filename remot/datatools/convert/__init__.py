"""Files of questions that others publish to one's own (``remot data convert``), and prompts to Parquet."""
