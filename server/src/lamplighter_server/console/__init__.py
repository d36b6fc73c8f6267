"""The fleet console: server-rendered pages, live through server-sent events."""
