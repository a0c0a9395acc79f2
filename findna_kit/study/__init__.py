"""Which piece mattered: designs of studies, and what their scores say."""
