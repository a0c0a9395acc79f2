"""Data for training: where windows come from, and how a window becomes a view.

`sources` holds the interface between a source of windows and the trainer, `genomes` the source that reads the genomes of a
recipe, `genome/` the token store, regions and window sampling of one genome, and `view_pipeline` cropping, augmentation and
masking. `delimited` reads CSV and TSV. `builtin/` holds the data files of the built-in genome and task.
"""
