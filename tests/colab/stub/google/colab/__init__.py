"""A stand-in for Colab's own module, as far as the course's first cell uses it."""
