"""The audit log: every change by person or machine, with before and after, in one hash chain."""
