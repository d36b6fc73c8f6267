"""Sources and sinks, in a process of their own. Never imported by the supervisor."""
