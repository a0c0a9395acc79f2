"""The reference: what the paper describes, implemented the straightforward way; it computes the same numbers as the kit."""
