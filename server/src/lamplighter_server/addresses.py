"""Internet addresses as attempts are counted by them."""

import ipaddress

from fastapi import Request


def network_of(address: str) -> str:
    """What of an address costs something: all of IPv4, of IPv6 the network of 64 bits."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{ip}/{64 if ip.version == 6 else 32}", strict=False))


def address_of(request: Request) -> str:
    """Who asks, as far as the network tells."""
    return request.client.host if request.client else ""
