"""Keeps the broker's gate: fresh certificates, revoked ones refused, their sessions ended.

Each turn compares what is with what shall be, so a turn that a crash cut short is made up for.
"""

import asyncio
import logging

import aiomqtt

from lamplighter_server.broker.process import ManagedBroker
from lamplighter_server.context import Context
from lamplighter_server.devices import revocation

_log = logging.getLogger(__name__)


async def keep_gate(context: Context, broker: ManagedBroker) -> None:
    """Take turns until cancelled."""
    while True:
        try:
            await turn(context, broker)
        except aiomqtt.MqttError as error:
            _log.warning("A revoked device is not disconnected yet: %s", error)
        await asyncio.sleep(context.settings.tick_s)


async def turn(context: Context, broker: ManagedBroker) -> None:
    """Renew and publish what is due, tell the broker, then end what must not go on.

    The order matters: who is thrown out finds the gate shut already.
    """
    authority, now_utc = context.authority, context.clock()
    renewed = authority.is_own_due(now_utc)
    if renewed:
        authority.issue_own(context.settings.public_host, now_utc)
    if await revocation.publish(context) | broker.set_log_aside() | renewed:
        broker.reload()
    for device in await revocation.to_cut_off(context):
        await _take_over(context, device)
        await revocation.note_cut_off(context, device)
        _log.info("%s is revoked and was disconnected", device)


async def _take_over(context: Context, device: str) -> None:
    """Connect once under the device's client identifier, which ends any other such connection.

    Raises:
        aiomqtt.MqttError: The broker is away; the next turn does it.
    """
    tls = context.authority.impersonate(device, context.clock())
    async with aiomqtt.Client(
        "127.0.0.1",
        context.settings.broker_port,
        identifier=device,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=True,
        tls_context=tls,
    ):
        pass
