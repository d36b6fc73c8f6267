"""Does a variant answer as the estimator does? Success is parity, never an exit code."""
