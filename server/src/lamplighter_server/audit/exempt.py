"""What the log leaves out, each with its reason.

A column of any table is either named in its class's `__audited__` (or, by default, in its primary
key) or it stands here: a test refuses whatever is neither. A secret must stand here.
"""

from typing import Final

_TELEMETRY: Final = "telemetry: written all the time, by devices, and sealed or signed by them"
_QUEUE: Final = "a queue: what filled it is audited"
_OWN_TIME: Final = "the time of the line that tells of the change"
_SECRET: Final = "a secret"  # noqa: S105 - the word, no secret
_VISITS: Final = "comings and goings: refusals among them are told"
_DERIVED: Final = "follows from audited columns"

#: A table, or a column as `table.column`, to the reason.
EXEMPT: Final[dict[str, str]] = {
    "alert.id": "alerts are named by their key",
    "alert.opened_utc": _OWN_TIME,
    "alert.command": _DERIVED,
    "alert.details": _DERIVED,
    "api_token.created_utc": _OWN_TIME,
    "api_token.secret_sha256": _SECRET,
    "api_token.used_utc": _VISITS,
    "assignment.envelope": "named by its digest",
    "assignment.issued_utc": _OWN_TIME,
    "audit_head": "the log itself",
    "audit_line": "the log itself",
    "blob_want": _QUEUE,
    "certificate.key_sha256": "the certificate is named by its serial number",
    "claim.token_sha256": _SECRET,
    "device.agreement_public": "changes only with the key pair, which is audited",
    "device.boot": _TELEMETRY,
    "device.certificate_pem": "named by its serial number",
    "device.inventory": _TELEMETRY,
    "device.last_seen_utc": _TELEMETRY,
    "device.online": _TELEMETRY,
    "device.report": _TELEMETRY,
    "device.report_counter": _TELEMETRY,
    "device.report_envelope": _TELEMETRY,
    "device.telemetry_key": _SECRET,
    "drift_mark": "how far windows have been judged; what was found is an alert",
    "event": _TELEMETRY,
    "failed_sign_in": _VISITS,
    "invitation.token_sha256": _SECRET,
    "outbox": _QUEUE,
    "patch": "another form of what is published",
    "patched_release": "how far patches have been made",
    "pending_device.asked_utc": _OWN_TIME,
    "pending_device.claim": _SECRET,
    "published_blob": _QUEUE,
    "ran": "signed by devices",
    "release.evidence": "named by its digest",
    "release.id": "releases are named by model and number",
    "release.manifest_size_bytes": _DERIVED,
    "release_key": _SECRET,
    "rollout.approved_utc": _OWN_TIME,
    "rollout.created_utc": _OWN_TIME,
    "rollout.finished_utc": _OWN_TIME,
    "rollout.started_utc": _OWN_TIME,
    "rollout.wave_started_utc": _OWN_TIME,
    "rollout_device.assigned_counter": "the assignment's own line tells it",
    "rollout_device.assigned_epoch": "the assignment's own line tells it",
    "rollout_device.deadline_utc": _DERIVED,
    "rollout_device.settled_utc": _OWN_TIME,
    "sign_in_link": _SECRET,
    "sealed_blob": _DERIVED,
    "stream_cursor": _TELEMETRY,
    "stream_seen": _TELEMETRY,
    "user.created_utc": _OWN_TIME,
    "user.password_hash": _SECRET,
    "user.signed_in_utc": _VISITS,
    "user_session": _SECRET,
    "vitals": _TELEMETRY,
    "window": _TELEMETRY,
}
