# SPDX-License-Identifier: Apache-2.0
"""docs_test.py COMPILER: links and paths in the documentation exist, and its C++ compiles."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(
    r"`((?:include|src|tests|tools|scripts|docs|bench|cmake|python|examples)/[\w./-]*|\.ci/\w+)`")
VERB = re.compile(r"\./dev (\w+)")


def pages():
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        stdout=subprocess.PIPE, check=False).stdout.decode().split("\0")
    found = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    return found or [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.md")]


def verbs():
    usage = subprocess.run([ROOT / "dev", "help"], stdout=subprocess.PIPE, check=True).stdout.decode()
    return set(re.findall(r"^  (\w+) ", usage, re.M))


def heading_anchors(page):
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in headings}


def link_problem(page, link):
    if re.match(r"https?://|mailto:", link):
        return None
    name, _, anchor = link.partition("#")
    target = (page.parent / name) if name else page
    if not target.exists():
        return f"links to {link}, which does not exist"
    if anchor and anchor not in heading_anchors(target):
        return f"links to {link}, where no heading has this name"
    return None


def is_placeholder(path):
    return "NAME" in path or "<" in path


def text_problems(page, known_verbs):
    text = page.read_text()
    if "SPDX-License-Identifier: Apache-2.0" not in text.split("\n", 1)[0]:
        yield "has no licence line"
    prose = FENCE.sub("", text)
    for link in LINK.findall(prose):
        if problem := link_problem(page, link):
            yield problem
    for path in PATH.findall(prose):
        if not is_placeholder(path) and not (ROOT / path).exists():
            yield f"names {path}, which does not exist"
    for verb in VERB.findall(text):
        if verb not in known_verbs | {"VERB"}:
            yield f"names ./dev {verb}, which does not exist"


def code_problems(page, compiler):
    for language, code in FENCE.findall(page.read_text()):
        if language != "cpp":
            continue
        done = subprocess.run(
            [compiler, "-std=c++23", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-xc++",
             f"-I{ROOT / 'include'}", "-"],
            input=code.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            timeout=100)
        if done.returncode:
            yield "has C++ that does not compile:\n" + done.stdout.decode()


def event_problems():
    """The page of events has each kind, with the replies that its struct names."""
    rows = {row[0]: row for row in re.findall(
        r"^\| `(\w+)` \|.*?\| ([^|]*)\| [^|]*\|$",
        (ROOT / "docs/reference/events.md").read_text().replace("\\|", ""), re.M)}
    kinds = {}
    for header in ("kinds", "life"):
        text = (ROOT / f"include/microvmi/event/{header}.hpp").read_text()
        kinds |= dict(re.findall(r'kName = "(\w+)";.*?using Reply = std::variant<(.*?)>;', text, re.S))
    for name in sorted(kinds.keys() ^ rows.keys()):
        yield f"and the headers do not agree on the kind {name}"
    for name in kinds.keys() & rows.keys():
        replies = [one for one in kinds[name].split(", ") if one != "Proceed"]
        if replies != re.findall(r"`(\w+)`", rows[name][1]):
            yield f"and the headers do not agree on the replies to {name}"


def main(compiler):
    known_verbs = verbs()
    found = [f"docs/reference/events.md {problem}" for problem in event_problems()]
    for page in pages():
        problems = [*text_problems(page, known_verbs), *code_problems(page, compiler)]
        found += [f"{page.relative_to(ROOT)} {problem}" for problem in problems]
    print("\n".join(found))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
