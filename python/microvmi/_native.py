# SPDX-License-Identifier: Apache-2.0
"""The functions and structures of <microvmi/mvmi.h>, as ctypes has to be told of them."""
import ctypes
import operator
import os


def unsigned(value: object, bits: int = 64) -> int:
    """ctypes would cut a number that does not fit, and so read or write somewhere else."""
    number = operator.index(value)
    if not 0 <= number < 1 << bits:
        raise OverflowError(f"{number} is not in 0 to 2**{bits} - 1")
    return number


class _Text:
    """Bytes that a C program sees whole."""

    @staticmethod
    def from_param(text: bytes | None) -> ctypes.c_char_p:
        if text and b"\0" in text:
            raise ValueError(f"{text!r} holds a zero byte")
        return ctypes.c_char_p(text)


class _U32(ctypes.c_uint32):
    @classmethod
    def from_param(cls, value: object) -> ctypes.c_uint32:
        return ctypes.c_uint32(unsigned(value, 32))


class _U64(ctypes.c_uint64):
    @classmethod
    def from_param(cls, value: object) -> ctypes.c_uint64:
        return ctypes.c_uint64(unsigned(value))


lib = ctypes.CDLL(os.environ.get("MICROVMI_LIBRARY", "libmvmi.so.1"))
_text, _size, _u64, _vm = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64, ctypes.c_void_p
_error = ctypes.POINTER(ctypes.c_void_p)
_values, _known = ctypes.POINTER(ctypes.c_uint64), ctypes.c_char_p


class Param(ctypes.Structure):
    _fields_ = [("key", _text), ("option", _text), ("group", _text), ("type", _text),
                ("presence", _text), ("default_value", _text), ("help", _text),
                ("choices", ctypes.POINTER(_text)), ("aliases", ctypes.POINTER(_text)),
                ("repeated", ctypes.c_int), ("required", ctypes.c_int)]


class Space(ctypes.Structure):
    _fields_ = [("cr3", _u64), ("paging", ctypes.c_int), ("large_pages", ctypes.c_int),
                ("no_execute", ctypes.c_int)]


class TableEntry(ctypes.Structure):
    _fields_ = [("level", ctypes.c_uint), ("gpa", _u64), ("value", _u64)]


class Translation(ctypes.Structure):
    _fields_ = [("gpa", _u64), ("page_size", _u64), ("writable", ctypes.c_int),
                ("user", ctypes.c_int), ("executable", ctypes.c_int), ("depth", ctypes.c_uint),
                ("levels", TableEntry * 5)]


class Range(ctypes.Structure):
    _fields_ = [("gpa", _u64), ("size", _u64)]


_space = ctypes.POINTER(Space)

for _name, _returns, _takes in [
        ("driver_name", _text, [_size]), ("connector_name", _text, [_size]),
        ("driver_available", ctypes.c_int, [_Text]), ("connector_available", ctypes.c_int, [_Text]),
        ("driver_param", ctypes.c_int, [_Text, _size, ctypes.POINTER(Param)]),
        ("connector_param", ctypes.c_int, [_Text, _size, ctypes.POINTER(Param)]),
        ("scan_json", ctypes.c_void_p, []), ("text_free", None, [ctypes.c_void_p]),
        ("open", _vm, [_Text, _Text, _error]), ("close", None, [_vm]),
        ("driver_of", _text, [_vm]), ("capabilities", ctypes.c_uint, [_vm]),
        ("end_of_memory", _u64, [_vm]),
        ("read", ctypes.c_int, [_vm, _U64, ctypes.c_void_p, _size, _error]),
        ("write", ctypes.c_int, [_vm, _U64, ctypes.c_char_p, _size, _error]),
        ("pause", ctypes.c_int, [_vm, _error]), ("resume", ctypes.c_int, [_vm, _error]),
        ("running", ctypes.c_int, [_vm, ctypes.POINTER(ctypes.c_int), _error]),
        ("vcpus", ctypes.c_uint32, [_vm]), ("register_name", _text, [_size]),
        ("read_registers", ctypes.c_int, [_vm, _U32, _values, ctypes.c_void_p, _size, _error]),
        ("write_registers", ctypes.c_int, [_vm, _U32, _values, _known, _size, _error]),
        ("read_xsave", ctypes.c_int, [_vm, _U32, ctypes.c_void_p, _size, ctypes.POINTER(_size),
                                      _error]),
        ("space_of_vcpu", ctypes.c_int, [_vm, _U32, _space, _error]),
        ("translate", ctypes.c_int, [_vm, _space, _U64, ctypes.POINTER(Translation), _error]),
        ("read_virtual", ctypes.c_int, [_vm, _space, _U64, ctypes.c_void_p, _size, _error]),
        ("write_virtual", ctypes.c_int, [_vm, _space, _U64, ctypes.c_char_p, _size, _error]),
        ("intercept", ctypes.c_int, [_vm, _U32, _Text, _error]),
        ("release", ctypes.c_int, [_vm, _U32, _Text, _error]),
        ("next_event", ctypes.c_void_p, [_vm, _U32, _error]),
        ("event_kind", _text, [ctypes.c_void_p]),
        ("event_vcpu", ctypes.c_uint32, [ctypes.c_void_p]),
        ("event_registers", None, [ctypes.c_void_p, _values, ctypes.c_void_p, _size]),
        ("event_field", _text, [ctypes.c_void_p, _size, ctypes.POINTER(ctypes.c_uint64)]),
        ("event_reply", ctypes.c_int, [ctypes.c_void_p, _Text, _U64, _error]),
        ("event_free", None, [ctypes.c_void_p]),
        ("dirty_begin", ctypes.c_int, [_vm, _error]),
        ("dirty_take", ctypes.c_int, [_vm, ctypes.POINTER(Range), _size, ctypes.POINTER(_size),
                                      _error]),
        ("dirty_end", ctypes.c_int, [_vm, _error]),
        ("error_code", ctypes.c_int, [ctypes.c_void_p]), ("errc_name", _text, [ctypes.c_int]),
        ("error_message", _text, [ctypes.c_void_p]), ("error_hint", _text, [ctypes.c_void_p]),
        ("error_free", None, [ctypes.c_void_p])]:
    _function = getattr(lib, "mvmi_" + _name)
    _function.restype, _function.argtypes = _returns, _takes
