"""Every error that a user can meet: a stable code, what to do next, and whether a retry helps.

The catalogue is the one place where codes live; docs/reference/errors.md is made from it.
Programmer errors have no code and are not caught.
"""

from typing import NamedTuple


class Entry(NamedTuple):
    """One row of the catalogue."""

    http_status: int
    retryable: bool
    remedy: str


CATALOGUE: dict[str, Entry] = {
    # Bytes that came from elsewhere
    "MESSAGE_MALFORMED": Entry(
        400, False, "Check that both sides run compatible versions of Lamplighter."
    ),
    "MESSAGE_TOO_LARGE": Entry(
        413, False, "Send less at once; docs/reference/messages.md lists sizes."
    ),
    "MESSAGE_FORGED": Entry(
        403, False, "Somebody on the broker altered or made this message; look at its client list."
    ),
    "NAME_INVALID": Entry(400, False, "Use lower-case letters, digits and hyphens, at most 63."),
    "NOT_FOUND": Entry(404, False, "List what exists with the matching 'ls' command."),
    # Trust
    "SIGNATURE_INVALID": Entry(
        403, False, "Publish again with the right keys; 'lamplighter keys status' shows them."
    ),
    "TRUST_MISSING": Entry(409, True, "Run 'lamplighter keys init' once, then try again."),
    "TRUST_EXPIRED": Entry(
        409,
        True,
        "Renew what 'lamplighter keys status' shows as expired; if nothing is, set the clock.",
    ),
    "TRUST_REFUSED": Entry(
        403, False, "The signed metadata does not allow this; compare it with 'model show'."
    ),
    "SIGNATURES_MISSING": Entry(
        409,
        True,
        "Carry it to the other holders: 'lamplighter keys export FILE', there 'keys sign FILE', "
        "back here 'keys import FILE'.",
    ),
    "RELEASE_BELOW_MINIMUM": Entry(
        409, False, "Choose a newer release; 'lamplighter keys policy MODEL' sets the minimum."
    ),
    "HARDWARE_FORBIDDEN": Entry(
        409, False, "Offline keys forbid this processor; 'lamplighter keys policy MODEL' sets it."
    ),
    "ASSIGNMENT_FOREIGN": Entry(403, False, "The assignment names another device or fleet."),
    "ASSIGNMENT_STALE": Entry(409, False, "A newer assignment is already in force; nothing to do."),
    "ASSIGNMENT_EQUIVOCAL": Entry(
        403,
        False,
        "Two statements bear one number. After a restore the server sends a higher one by itself; "
        "otherwise rotate the director's keys: 'lamplighter keys rotate director'.",
    ),
    "ASSIGNMENT_EXPIRED": Entry(409, True, "Start the rollout again; the device keeps serving."),
    "REPORT_STALE": Entry(409, False, "A newer report is already stored; nothing to do."),
    "PROVENANCE_BROKEN": Entry(
        403, False, "Do not rely on this device's release; the sentence names the link to look at."
    ),
    "PROVENANCE_INCOMPLETE": Entry(
        409, True, "Wait until the device has connected and reported, then ask again."
    ),
    "CAPABILITY_MISSING": Entry(
        409, False, "Update the agent on this device, or publish a bundle that needs less."
    ),
    "VARIANT_UNSUPPORTED": Entry(
        409, False, "Publish a variant for this device's runtime and processor."
    ),
    "DEVICE_KEY_MISSING": Entry(
        409,
        False,
        "Update its agent and enrol it anew: 'lamplighter device invite ID --replace', then on it "
        "'lamplighter-agent enrol INVITATION --replace'.",
    ),
    "KEY_REFUSED": Entry(
        403,
        False,
        "Enrol the device anew if its identity was copied or restored; then start the rollout "
        "again.",
    ),
    # Enrolment
    "INVITATION_INVALID": Entry(
        403, False, "Make a new invitation with 'lamplighter device invite'."
    ),
    "INVITATION_USED": Entry(
        409, False, "An invitation works once; make a new one with 'lamplighter device invite'."
    ),
    "ENROLMENT_PENDING": Entry(
        409,
        True,
        "Compare the fingerprint with 'lamplighter device ls --pending', then 'lamplighter device "
        "approve NAME'; the board asks again by itself.",
    ),
    "ENROLMENT_FULL": Entry(
        429,
        True,
        "'lamplighter device ls --pending' shows who asks: approve or reject them. If a stranger "
        "fills the list, the claim has leaked: 'lamplighter device withdraw-claims'.",
    ),
    "ENROLMENT_THROTTLED": Entry(
        429, True, "Wait as long as it says, and compare the invitation with the one you made."
    ),
    "ENROLMENT_UNKNOWN": Entry(
        404, False, "See who asks to be let in: 'lamplighter device ls --pending'."
    ),
    "ENROLMENT_AMBIGUOUS": Entry(
        409, False, "Say which board: --fingerprint and what it shows on its own screen."
    ),
    "DEVICE_REJECTED": Entry(
        403,
        False,
        "Somebody refused this board. If that was a mistake, enrol it again with --replace: it "
        "asks with a new key.",
    ),
    "SERVER_UNTRUSTED": Entry(
        403, False, "The server's certificate is not the invited one; check the address."
    ),
    "DEVICE_UNKNOWN": Entry(404, False, "Invite and enrol it: 'lamplighter device invite ID'."),
    "CERTIFICATE_MISSING": Entry(
        401,
        False,
        "The agent shows its certificate by itself; a proxy before the devices' door must pass TLS "
        "through untouched.",
    ),
    "DEVICE_REVOKED": Entry(
        403, False, "It keeps serving; to let it back, invite it: 'lamplighter device invite ID'."
    ),
    "DEVICE_EXISTS": Entry(
        409, False, "Choose another name, or say --replace if the present one is to be given up."
    ),
    "REPORT_MISSING": Entry(
        404,
        True,
        "Wait until the agent has connected; 'lamplighter-agent status' says what it does.",
    ),
    "CONFIG_INVALID": Entry(
        400,
        False,
        "Correct the lines it names; docs/reference/configuration.md has every key, and "
        "'lamplighter-agent config' tries the file.",
    ),
    "NOT_ENROLLED": Entry(409, False, "Run 'lamplighter-agent enrol INVITATION' on this device."),
    # The device's key on a token
    "KEY_URI_INVALID": Entry(
        400,
        False,
        "Write it as 'pkcs11:token=T;object=KEY?module-path=/M.so&pin-source=file:/PIN-FILE'.",
    ),
    "TOKEN_SUPPORT_MISSING": Entry(
        503, False, "Install it beside the agent: pip install 'lamplighter-agent[pkcs11]'."
    ),
    "TOKEN_MODULE_FAILED": Entry(
        503,
        False,
        "Install the PKCS#11 module or correct module-path; 'p11-kit list-modules' shows some.",
    ),
    "TOKEN_MISSING": Entry(
        503,
        True,
        "Connect the token, or correct its name: 'pkcs11-tool --module M.so --list-token-slots'. "
        "The device keeps serving.",
    ),
    "TOKEN_PIN_UNREADABLE": Entry(
        403, False, "Put the PIN, one line, into the file of pin-source, then: chmod 600 FILE."
    ),
    "TOKEN_PIN_WRONG": Entry(
        403,
        False,
        "Enter the right PIN, or write it to the file of pin-source: then it is tried once. Unlock "
        "a locked token with its own tool.",
    ),
    "TOKEN_KEY_UNFIT": Entry(
        409,
        False,
        "Name another object: where there is none, the agent makes a key that serves.",
    ),
    "TOKEN_KEY_LOST": Entry(
        409,
        False,
        "Connect the token with which it enrolled; if it is gone, enrol anew: 'lamplighter device "
        "invite ID --replace'.",
    ),
    "TOKEN_FAILED": Entry(
        503,
        True,
        "Try the token by hand: 'pkcs11-tool --module M.so --login --test'. The device keeps "
        "serving and tries again by itself.",
    ),
    # Blobs and storage
    "CHUNK_REFUSED": Entry(
        422, True, "The chunk is fetched again by itself; if it recurs, check the broker."
    ),
    "PATCH_REFUSED": Entry(
        422,
        False,
        "Nothing to do: the device fetches the whole file instead. If it recurs, its copy of the "
        "former release is damaged, or agent and server differ in their versions.",
    ),
    "BLOB_REFUSED": Entry(
        422, True, "Send the file again as it was signed; it was changed or cut short on the way."
    ),
    "CARRIED_DAMAGED": Entry(
        422, True, "Copy the file again and take the stick out properly; compare its length."
    ),
    "CARRIED_REFUSED": Entry(
        422, False, "Make it anew: 'lamplighter device export DEVICE FILE'. Do not repack it."
    ),
    "FETCH_STALLED": Entry(
        503, True, "The bytes do not arrive; check the link, the device goes on where it stopped."
    ),
    "FETCH_REFUSED": Entry(
        403,
        False,
        "The server does not serve this file to this device: the sentence has its reason. Start "
        "the rollout again once that is mended.",
    ),
    "BUDGET_SPENT": Entry(
        429,
        True,
        "Nothing to do: files go on with the next period. If it is urgent, raise fetch_budget_mb "
        "on the device.",
    ),
    "RANGE_UNSATISFIABLE": Entry(
        416, False, "Ask for bytes that the file has; the signed manifest says its length."
    ),
    "DISK_FULL": Entry(
        507, True, "Free some space on the device; the update goes on where it stopped."
    ),
    "DISK_FAILED": Entry(
        507,
        True,
        "The device's storage refuses writes: look at 'dmesg' and replace the card if it failed; "
        "models are served on, and the update goes on when writes succeed again.",
    ),
    "STORE_CORRUPT": Entry(
        500, True, "A stored file is damaged; it is set aside and fetched again by itself."
    ),
    # On the device: why a release was refused or rolled back
    "MODEL_LOAD_FAILED": Entry(
        422, False, "The runtime refuses the file on this device; see the event's detail."
    ),
    "GOLDEN_MISMATCH": Entry(
        422, False, "Outputs differ on this chip; publish another variant, such as onnx-fp32."
    ),
    "WORKER_CRASHED": Entry(
        500, False, "The model's process died repeatedly; see the event's detail."
    ),
    "WORKER_HUNG": Entry(500, False, "The model's process stopped answering; it was restarted."),
    "WORKER_FORKED": Entry(
        500, False, "The model's process started others without end; publish another file."
    ),
    "LATENCY_OVER_BUDGET": Entry(
        422, False, "Publish a faster model or raise the latency budget in its health policy."
    ),
    "MEMORY_OVER_BUDGET": Entry(
        422, False, "Publish a smaller model or raise the memory budget in its health policy."
    ),
    "ERRORS_OVER_BUDGET": Entry(
        422, False, "Requests fail on this release; see the error counts in the event."
    ),
    "OUTPUT_COLLAPSED": Entry(
        422, False, "On live input the predictions look nothing like the reference; check training."
    ),
    "PROBATION_TIMEOUT": Entry(
        422, True, "Too few live requests came to judge the release; send traffic and start again."
    ),
    "SHADOW_ALONE": Entry(
        409, False, "Roll a release out as active first; a shadow runs beside it."
    ),
    "SHADOW_NO_ROOM": Entry(
        507, False, "Free memory on the device, publish a smaller variant, or skip shadow mode."
    ),
    "ACCELERATOR_MISSING": Entry(
        503,
        True,
        "Install an onnxruntime built for this accelerator, or set 'accelerator' to \"cpu\".",
    ),
    "UPDATE_LOOP": Entry(
        500, False, "The same update was interrupted too often; look at power and disk."
    ),
    # On the device: why an update waits; it goes on by itself
    "WAITS_FOR_WINDOW": Entry(
        503, True, "Nothing to do: it goes on in the next window; 'maintenance_windows' sets them."
    ),
    "WAITS_FOR_WORKLOAD": Entry(
        503, True, "Nothing to do: it goes on when the application lets go of 'not_now_file'."
    ),
    "WAITS_FOR_POWER": Entry(
        503, True, "Connect the power supply, or set 'require_mains_power = false'."
    ),
    "WAITS_FOR_TEMPERATURE": Entry(
        503, True, "Let the board cool down: look at its fan, its housing and its place."
    ),
    "WAITS_FOR_MEMORY": Entry(503, True, "End what takes memory, or lower 'min_free_memory_mb'."),
    "WAITS_FOR_DISK": Entry(
        507, True, "Free some space, or raise 'disk_budget_mb' or lower 'min_free_disk_mb'."
    ),
    # Sources and sinks on the device
    "SOURCE_INVALID": Entry(
        400, False, "Correct the table it names; docs/how-to/sources.md shows every kind."
    ),
    "SOURCE_FAILED": Entry(
        503, True, "Look at the folder, camera or broker that it names; it is opened again."
    ),
    "SOURCE_WAITS": Entry(
        503, True, "Nothing is lost: the source waits until what it names works again."
    ),
    # Serving
    "INFERENCE_FAILED": Entry(
        500, False, "The release cannot answer this input; it is counted against its error budget."
    ),
    "REQUEST_INVALID": Entry(
        400, False, "Compare the request with the model's metadata: GET /v2/models/MODEL."
    ),
    # Server
    "NOT_AUTHORISED": Entry(
        401, False, "Sign in, or give a token: --token, LAMPLIGHTER_TOKEN or LAMPLIGHTER_DATA_DIR."
    ),
    "HOST_REFUSED": Entry(
        403, False, "Use the address that 'lamplighter up' printed, or set LAMPLIGHTER_CONSOLE_URL."
    ),
    "ROLE_MISSING": Entry(403, False, "Ask an admin for the role: 'lamplighter user role'."),
    "SCOPE_MISSING": Entry(
        403, False, "Stay inside your labels, as in --where site=a, or ask an admin for more."
    ),
    "SIGN_IN_FAILED": Entry(
        401, False, "Try again; an admin sets a new password with 'lamplighter user password'."
    ),
    "SIGN_IN_THROTTLED": Entry(
        429, True, "Wait as long as it says; somebody may be guessing this password."
    ),
    "LINK_INVALID": Entry(403, False, "Make a new link with 'lamplighter login' on the server."),
    "SIGN_ON_REFUSED": Entry(
        403, False, "Sign in again; if it recurs, compare the settings with single-sign-on.md."
    ),
    "SIGN_ON_UNAVAILABLE": Entry(
        502, True, "Look whether the provider answers; 'lamplighter login' works without it."
    ),
    "PASSWORD_WEAK": Entry(422, False, "Choose a longer one; a few unrelated words are good."),
    "CSRF_REFUSED": Entry(403, False, "Open the page in the console again and repeat the step."),
    "APPROVER_IS_CREATOR": Entry(
        403, False, "Ask somebody else with the role approver: 'lamplighter user ls'."
    ),
    "APPROVAL_MISSING": Entry(
        409, True, "Let somebody else run 'lamplighter rollout approve ROLLOUT' first."
    ),
    "PLAIN_HTTP_REFUSED": Entry(
        503, False, "Add --https, or keep the console on 127.0.0.1 and put a TLS proxy before it."
    ),
    "CONFLICT": Entry(409, False, "Look at the present state with 'show', then decide."),
    "RELEASE_IMMUTABLE": Entry(409, False, "Publish the next release number instead."),
    "ROLLOUT_INVALID": Entry(422, False, "Correct the rollout's options; 'rollout create --help'."),
    "STATE_FORBIDS": Entry(409, False, "Look at the rollout's status; this step does not fit it."),
    "PORT_IN_USE": Entry(
        503, True, "Stop the other program or choose another port with --port or --broker-port."
    ),
    "BROKER_MISSING": Entry(
        503, True, "Install Mosquitto: 'sudo apt install mosquitto' or 'brew install mosquitto'."
    ),
    "BROKER_FAILED": Entry(503, True, "Read the broker's log in the server's data folder."),
    "SERVER_UNREACHABLE": Entry(
        503, True, "Start it with 'lamplighter up', or name it with --server."
    ),
    "AUDIT_BROKEN": Entry(
        409,
        False,
        "Somebody has altered the log: keep this copy, and compare it with older exports.",
    ),
    "AUDIT_TRUNCATED": Entry(
        409, False, "The end of the log was cut off: restore it from a backup or an older export."
    ),
    "AUDIT_HEAD_INVALID": Entry(
        409, False, "The head is of another server, or the log's key was replaced; find out which."
    ),
    "SCHEMA_NEWER": Entry(500, False, "Use the newer Lamplighter that made this data folder."),
    # Making bundles
    "CONVERSION_REFUSED": Entry(
        422, False, "Mend what the sentence names, or choose an estimator that converts."
    ),
    "PARITY_REFUSED": Entry(
        422, False, "The converted model answers differently; lower the quantization or the model."
    ),
    # Validation
    "GATES_INVALID": Entry(
        422, False, "Correct the section 'gates'; docs/reference/gates.md has every key."
    ),
    "GATE_FAILED": Entry(
        409,
        False,
        "Better data, more held-out rows or a better model may pass. Or a person takes the "
        "responsibility: publish with --override REASON; 'lamplighter override ls' shows it.",
    ),
    "CONVERTER_MISSING": Entry(
        503, True, "Install what the message names beside the converters, then repeat the command."
    ),
    "MODEL_FILE_MALFORMED": Entry(
        422, False, "Export the model again; the file is cut short, damaged or of another format."
    ),
    "MODEL_FILE_UNSAFE": Entry(
        422, False, "Do not load this file elsewhere before you know who made it and why."
    ),
    "MODEL_FILE_UNSUPPORTED": Entry(
        422, False, "Export it with standard operators of an older set, weights in the same file."
    ),
    "MODEL_SIGNATURE_MISMATCH": Entry(
        422, False, "Compare inputs and outputs with what the release declares; export it to fit."
    ),
    "DATA_INVALID": Entry(
        422, False, "Correct the data; the message names the column and the row."
    ),
    # Datasets on a person's machine
    "DATA_REFUSED": Entry(
        422,
        False,
        "Nothing was stored. 'lamplighter data check ./SOURCE' says what to do about each.",
    ),
    "SOURCE_UNREADABLE": Entry(
        404, False, "Check the path, the revision and your rights; nothing was stored."
    ),
    "DATASET_ERASED": Entry(
        410, False, "Use the version that holds the rest, and train again what was made from it."
    ),
    "DATASET_EXPIRED": Entry(
        410,
        False,
        "Use a newer version: 'lamplighter data ls'; 'data expire' deletes what is due.",
    ),
    "DATASET_DAMAGED": Entry(
        500, False, "Add the same source again: what is damaged is replaced. Look at the disk."
    ),
    "SUBJECT_KEY_MISSING": Entry(
        409,
        False,
        "Restore subjects.key from its backup, or name it: LAMPLIGHTER_SUBJECT_KEY. Without it "
        "people cannot be found or kept out.",
    ),
    "EXTRA_MISSING": Entry(
        501, False, "Install what the sentence names with pip, then repeat the command."
    ),
    "SIGNER_UNAVAILABLE": Entry(
        503, True, "Install what the message names, connect the device, then repeat the command."
    ),
    "KEY_MISSING": Entry(
        404,
        False,
        "Name the folder that holds the key: --keys-dir; 'keys status' marks what is here.",
    ),
    "PASSPHRASE_WRONG": Entry(403, True, "Enter the passphrase of the key file again."),
}


class LamplighterError(Exception):
    """An expected error.

    Attributes:
        code: A key of CATALOGUE; stable across releases.
        sentence: What happened, in one sentence with the particulars.
        retry_after_s: How long to wait before the same step, if that is known.
    """

    def __init__(self, code: str, sentence: str, *, retry_after_s: float | None = None) -> None:
        self.entry = CATALOGUE[code]
        self.code = code
        self.sentence = sentence
        self.retry_after_s = retry_after_s
        super().__init__(f"{code}: {sentence}")

    @property
    def remedy(self) -> str:
        """What to do next."""
        return self.entry.remedy

    @property
    def retryable(self) -> bool:
        """Whether the same step may succeed later without a change."""
        return self.entry.retryable

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence} {self.remedy}"
