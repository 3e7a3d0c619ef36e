"""Drawing futures: sampling, the shared-prefix cache, generation, and the runner."""
