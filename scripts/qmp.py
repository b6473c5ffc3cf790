# SPDX-License-Identifier: Apache-2.0
"""qmp.py SOCKET COMMAND [ARGUMENTS]: runs one QEMU monitor command and prints what it returned."""
import json
import socket
import sys

PATIENCE = 10  # seconds for each answer


def answer(lines):
    for line in lines:
        message = json.loads(line)
        if "event" not in message:
            return message
    sys.exit("qmp.py: QEMU closed the connection")


def main(path, command, arguments="{}"):
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.settimeout(PATIENCE)
        monitor.connect(path)
        with monitor.makefile("rw", encoding="utf-8") as lines:
            answer(lines)  # the greeting
            for request in ({"execute": "qmp_capabilities"},
                            {"execute": command, "arguments": json.loads(arguments)}):
                lines.write(json.dumps(request) + "\n")
                lines.flush()
                reply = answer(lines)
    if "return" not in reply:
        sys.exit(f"qmp.py: {command}: {reply['error']['desc']}")
    print(json.dumps(reply["return"]))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
