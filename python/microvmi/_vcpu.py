# SPDX-License-Identifier: Apache-2.0
"""What there is of a vCPU: registers by name, page tables, events."""
import ctypes
import enum
from typing import NamedTuple

from microvmi._error import decode, raise_error
from microvmi._native import lib

class Paging(enum.IntEnum):
    NONE = 0
    TWO_LEVEL = 1
    PAE = 2
    FOUR_LEVEL = 3
    FIVE_LEVEL = 4


class Space(NamedTuple):
    """Page tables of an x86 guest."""
    cr3: int
    paging: Paging = Paging.FOUR_LEVEL
    large_pages: bool = True
    no_execute: bool = True


class TableEntry(NamedTuple):
    level: int
    gpa: int
    value: int


class Translation(NamedTuple):
    gpa: int
    page_size: int
    writable: bool
    user: bool
    executable: bool
    levels: list[TableEntry]


EVERY_VCPU = 0xffffffff


REGISTERS: list[str] = []
while (_name := lib.mvmi_register_name(len(REGISTERS))) is not None:
    REGISTERS.append(decode(_name))


def registers_of(get) -> dict[str, int]:
    """What `get` puts into values and flags, without those that are unknown."""
    count = len(REGISTERS)
    values, known = (ctypes.c_uint64 * count)(), ctypes.create_string_buffer(count)
    get(values, known, count)
    return {name: values[i] for i, name in enumerate(REGISTERS) if known.raw[i]}


class Event:
    """Something a vCPU did; it waits until reply(), close() or the end of a with block."""

    def __init__(self, event: int) -> None:
        self._event: int | None = event
        self.kind = decode(lib.mvmi_event_kind(event))
        self.vcpu: int = lib.mvmi_event_vcpu(event)
        self.registers = registers_of(lambda *out: lib.mvmi_event_registers(event, *out))
        self.fields: dict[str, int] = {}
        value = ctypes.c_uint64()
        while (name := lib.mvmi_event_field(event, len(self.fields), ctypes.byref(value))):
            self.fields[decode(name)] = value.value

    def reply(self, reply: str = "proceed", value: int = 0) -> None:
        """"proceed", "set_value", "refuse" or "retry", where its kind takes it."""
        error = ctypes.c_void_p()
        if not lib.mvmi_event_reply(self._event, reply.encode(), value, ctypes.byref(error)):
            raise_error(error)

    def close(self) -> None:
        event, self._event = self._event, None
        lib.mvmi_event_free(event)

    def __enter__(self) -> "Event":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
