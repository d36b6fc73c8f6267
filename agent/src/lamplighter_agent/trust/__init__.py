"""The image side of trust: TUF, verified in a short-lived child process."""
