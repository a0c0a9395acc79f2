"""The network: a branch (student or teacher) with its encoder and heads, and wrappers for the reverse complement."""
