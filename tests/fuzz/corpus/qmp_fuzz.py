# SPDX-License-Identifier: Apache-2.0
"""Seeds of qmp_fuzz: conversations from the monitor's side; the first byte is how it is cut."""
from seeds import write

GREETING = ('{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, '
            '"capabilities": ["oob"]}}\r\n')
NEGOTIATED = '{"return": {}, "id": 0}\r\n'
EVENT = '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}\r\n'
STATUS = '{"return": {"status": "running", "running": true}, "id": 1}\r\n'
TEXT = '{"return": "FlatView #0\\r\\n AS \\"memory\\"\\r\\n", "id": 2}\r\n'
REFUSED = '{"id": 1, "error": {"class": "CommandNotFound", "desc": "no such"}}'

write(cut + text for cut in "\x00\x07\xff" for text in (
    GREETING + NEGOTIATED + STATUS + TEXT, GREETING + EVENT + NEGOTIATED + EVENT + REFUSED + TEXT,
    GREETING + NEGOTIATED.replace(" ", "\n"), "QEMU 7.2.22 monitor - type 'help'\r\n(qemu) ",
    GREETING + NEGOTIATED + '{"return": [[[[{"a": [1, 2.5e9, null, "\\u0000"]}]]]], "id": 1}'))
