"""What a device signs with: pure."""

from lamplighter_protocol import dsse
from lamplighter_protocol.enrolment import EnrolmentRequest
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.renewal import accept_renewal


def own_key(request: EnrolmentRequest, certified: dsse.PublicKey, fleet: str) -> dsse.PublicKey:
    """The key by which an enrolling device is known from now on.

    Args:
        request: What the device asks.
        certified: The key of its signing request, with which it connects.
        fleet: Ours.

    Raises:
        LamplighterError: MESSAGE_MALFORMED or MESSAGE_TOO_LARGE, or SIGNATURE_INVALID if its own
            key has not signed for the key of the signing request.
    """
    if request.own_key is None:
        return certified
    own = dsse.load_public(request.own_key.public_pem)
    vouched = accept_renewal(request.own_key.renewal, device=request.device, fleet=fleet, key=own)
    if vouched != certified:
        raise LamplighterError(
            "SIGNATURE_INVALID",
            f"The key of {request.device} signed for another key than the signing request's.",
        )
    return own
