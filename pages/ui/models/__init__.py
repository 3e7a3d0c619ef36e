"""What models are here, and what can be done with them."""
