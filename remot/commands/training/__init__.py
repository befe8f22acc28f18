"""`remot fit`, `validate`, `test` and `predict`."""
