"""The network itself, in pure torch: quantizer, tokenizer, model and checkpoint files."""
