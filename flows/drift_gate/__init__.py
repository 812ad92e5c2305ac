"""Whether new records still look, and behave, as the champion learned."""
