"""Bytes that are no object: an honest one's, and as few changes as make them undecodable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lightclient.containers import LightClientObject, ObjectKind, encode_ssz
from lightclient.protocol import Rule
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.simulator.scenes import Forgery, Scene, Stage


def undecodable_bytes(scene: Scene) -> Iterator[Forgery]:
    """Cut off, too long, empty, and with an offset that points elsewhere."""
    objects: list[LightClientObject] = [
        scene.bootstrap,
        scene.honest,
        create_light_client_finality_update(scene.honest),
        create_light_client_optimistic_update(scene.honest),
    ]
    for value in objects:
        stage = Stage.NO_STORE if value.kind is ObjectKind.BOOTSTRAP else Stage.NEXT_KNOWN
        encoded = encode_ssz(value)
        # One byte more or less could be a longer or shorter extra_data, which stands at the end.
        variants = {"truncated": encoded[:-64], "trailing": encoded + bytes(64), "empty": b""}
        if value.data_format.header == "payload":
            variants["wrong_offset"] = bytes([encoded[0] ^ 1]) + encoded[1:]
        base = scene.forgery(Rule.UNDECODABLE, "", value, stage)
        for name, changed in variants.items():
            yield replace(base, name=f"{name}_{value.kind}", value=None, encoded=changed)
