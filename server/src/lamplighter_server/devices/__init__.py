"""Devices: invitation, enrolment, inventory, what each says it has."""
