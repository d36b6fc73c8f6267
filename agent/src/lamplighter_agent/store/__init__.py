"""What survives a power cut: blobs, the journal, the outbox and the identity."""
