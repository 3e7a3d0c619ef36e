"""What every page has: its frame, links, messages and glossary."""
