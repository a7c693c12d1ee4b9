#!/usr/bin/env python3
"""Checks that rooms include only what tools/layers.txt allows.

Fails on an arrow that is not listed, on a cycle of files, on a file name used twice under src/, and
on a room that the list does not know. With --dot prints the drawing of the arrows in use.
"""
import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def read_allowed():
    allowed = {}
    for line in (ROOT / "tools/layers.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            room, _, rest = line.partition(":")
            allowed[room.strip()] = set(rest.split()) | {room.strip()}
    return allowed


def room_of(path):
    parts = path.relative_to(ROOT).parts
    return parts[0] if parts[0] == "bench" else parts[1]


def find_cycle(graph):
    state, stack = {}, []

    def visit(node):
        state[node] = 1
        stack.append(node)
        for target in graph.get(node, ()):
            if state.get(target) == 1:
                return stack[stack.index(target):] + [target]
            if target not in state:
                found = visit(target)
                if found:
                    return found
        state[node] = 2
        stack.pop()
        return None

    for node in sorted(graph):
        if node not in state:
            found = visit(node)
            if found:
                return found
    return None


def main():
    allowed, problems = read_allowed(), []
    graph, names, arrows = collections.defaultdict(set), collections.defaultdict(list), set()
    files = [p for folder in ("src", "bench") for p in (ROOT / folder).rglob("*.[ch]")]
    for path in sorted(files):
        room, here = room_of(path), str(path.relative_to(ROOT))
        names[path.name].append(here)
        if room not in allowed:
            problems.append(f"{here}: room '{room}' is not in tools/layers.txt")
            continue
        for target in INCLUDE.findall(path.read_text()):
            if not (ROOT / "src" / target).exists():
                continue
            graph[here].add("src/" + target)
            other = target.split("/")[0]
            if other != room:
                arrows.add((room, other))
            if other not in allowed[room]:
                problems.append(f"{here}: includes {target}, but {room} may not use {other}")
    for name, places in sorted(names.items()):
        if len(places) > 1:
            problems.append(f"file name {name} is used twice: {', '.join(places)}")
    cycle = find_cycle(graph)
    if cycle:
        problems.append("include cycle: " + " -> ".join(cycle))
    if "--dot" in sys.argv:
        print("digraph rooms {")
        for a, b in sorted(arrows):
            print(f'  "{a}" -> "{b}";')
        print("}")
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems and "--dot" not in sys.argv:
        print(f"layers: {len(files)} files, {len(arrows)} arrows, all allowed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
