# SPDX-License-Identifier: Apache-2.0
"""The rules of the tree: includes point down, the system is met in native.cpp alone, file heads.

And: no source that no CMakeLists.txt names, nothing left to do, no binaries."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
LAYERS = [  # a file belongs to the first prefix that fits; it may include lower layers and its own
    ("include/microvmi/mvmi.h", 0), ("include/microvmi/error.hpp", 0),
    ("include/microvmi/address.hpp", 0), ("include/microvmi/registers.hpp", 0),
    ("include/microvmi/event", 0), ("include/microvmi/wait.hpp", 0), ("src/error.cpp", 0),
    ("include/microvmi/param/", 1), ("src/param/", 1),
    ("include/microvmi/memory.hpp", 2), ("src/memory.cpp", 2), ("include/microvmi/driver.hpp", 2),
    ("include/microvmi/control.hpp", 2), ("include/microvmi/address_space.hpp", 2),
    ("include/microvmi/driver/", 2), ("include/microvmi/connector/", 2),
    ("include/microvmi/registry.hpp", 2), ("src/registry/", 3),
    ("src/codec/", 0), ("src/work/", 0), ("src/guard/", 3), ("src/host/", 2), ("src/qemu/", 3),
    ("include/microvmi/", 3), ("src/vm.cpp", 3), ("src/arch/", 3), ("src/event/", 3),
    ("src/init/", 3), ("src/dump/", 3),
    ("src/connector/", 4), ("src/driver/", 4), ("src/capi/", 5), ("tools/", 5),
]
SYSTEM = re.compile(r"(sys/|linux/|unistd|fcntl|dlfcn|libkvmi|xen|leechcore)")
UNFINISHED = re.compile(rb"\b(TODO|FIXME|XXX)\b")
LARGEST = 200_000  # bytes of one file
USES_CONNECTORS = {"driver/memflow", "driver/qemu"}
PROGRAM_OF = {"tools/microvmi-leechcore": "connector/pcileech"}  # may include its backend's folder


def layer(file):
    path = file.relative_to(ROOT).as_posix()
    return next(rank for prefix, rank in LAYERS if path.startswith(prefix))


def resolve(file, name):
    found = (base / name for base in (file.parent, ROOT / "include", ROOT / "src"))
    return next((path.resolve() for path in found if path.is_file()), None)


def backend(file):
    match = re.match(r"src/((driver|connector)/\w+)/", file.relative_to(ROOT).as_posix())
    return match and match[1]


def include_problems(file):
    for mark, name in re.findall(r'^#include ([<"])([^>"]+)', file.read_text(), re.M):
        where = file.relative_to(ROOT)
        target = resolve(file, name) if mark == '"' else None
        if target and layer(target) > layer(file):
            yield f"{where} includes {name}, which is above it"
        program_of = PROGRAM_OF.get(where.parent.as_posix())
        if target and backend(target) not in (None, backend(file), program_of):
            if not (backend(file) in USES_CONNECTORS and "connector/" in backend(target)):
                yield f"{where} includes another backend's {name}"
        if backend(file) and SYSTEM.match(name) and not file.name.startswith("native"):
            yield f"{where} includes <{name}>; only native.* may"


def head_problems(file):
    lines = file.read_text().splitlines() + ["", ""]
    where = file.relative_to(ROOT)
    if "SPDX-License-Identifier: Apache-2.0" not in lines[0]:
        yield f"{where} has no licence line"
    if not re.match(r'(//|/\*|#|""")\s*\S', lines[1]):
        yield f"{where} does not say what it is for"
    if len(lines) - 2 >= 300:
        yield f"{where} has {len(lines) - 2} lines"


def tracked():
    """Every file of the tree; where this is no clone, those that are not built."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout.decode()
    names = [ROOT / name for name in listed.split("\0") if name]
    return sorted(file for file in names or ROOT.rglob("*")
                  if file.is_file() and "build" not in file.relative_to(ROOT).parts)


def text_problems(file):
    where = file.relative_to(ROOT)
    content = file.read_bytes()
    if len(content) > LARGEST or b"\0" in content:
        yield f"{where} is no text or has {len(content)} bytes; images are made by code"
        return
    if UNFINISHED.search(content) and where.suffix not in (".py", ".md"):
        yield f"{where} has something left to do"
    head = b"\n".join(content.split(b"\n")[:2])
    if b"SPDX-License-Identifier" not in head and where.suffix != ".json" \
            and where.name != "LICENSE":
        yield f"{where} has no licence line"


def orphan_problems():
    """A source that is not built is not tested either."""
    for folder in ("src", "tools", "tests", "bench", "examples"):
        for file in sorted((ROOT / folder).rglob("*.cpp")):
            lists = [parent / "CMakeLists.txt" for parent in file.parents if parent != ROOT.parent]
            named = (each.read_text() for each in lists if each.is_file())
            if not any(re.search(rf"\b{re.escape(file.stem)}\b", text) for text in named):
                yield f"{file.relative_to(ROOT)} is in no CMakeLists.txt"


def problems():
    yield from orphan_problems()
    for file in tracked():
        yield from text_problems(file)
    for folder in ("include", "src", "tools"):
        for file in sorted((ROOT / folder).rglob("*.[ch]pp")):
            yield from include_problems(file)
    for folder in ("include", "src", "tools", "tests", "python"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in (".hpp", ".cpp", ".h", ".py", ".txt"):
                yield from head_problems(file)


if __name__ == "__main__":
    found = list(problems())
    print("\n".join(found))
    sys.exit(bool(found))
