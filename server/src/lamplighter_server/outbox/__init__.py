"""Messages leave only after the transaction that caused them is committed."""
