"""Exchange of models: export for Hugging Face or ONNX with a model card, import of the released FinDNA checkpoint."""
