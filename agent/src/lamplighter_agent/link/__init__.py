"""The way to the server: MQTT for everything, HTTPS for enrolment only."""
