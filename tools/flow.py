"""Writes `docs/architecture/program-flow.md`: one small program followed through the rooms, with what each shows.

    python -m tools.flow            # run the program, write the page
    python -m tools.flow --check    # 1 when the page no longer says what the program shows

The program runs in a fresh process with an empty kernel cache and `SQUALL_DEBUG=4`, so every stage is met for the first
time. What depends on the machine (the LLVM text) is on the page, but not part of the check.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture" / "program-flow.md"
TEMPLATE = ROOT / "tools" / "flow.md"

# What the child runs: the program, with a look at what the rooms hold in between.
PROGRAM = '''
import squall as sq
from squall.engine import realize
from squall.ir.graph_text import graph_text


def show(name, *lines):
    print("@@" + name, *lines, sep="\\n")


x = sq.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]], requires_grad=True)
y = x.relu()
total = y.sum()
show("node", graph_text([total.node]))
show("slot", f"total.node.buffer  {total.node.buffer}")
show("tape", *[f"{r.name():<14} edges to {' '.join(type(e).__name__ for e in r.edges)}; reads "
               f"{'its result' if r.output is not None else 'nothing'}" for r in (total.grad_fn, y.grad_fn)])
total.backward()
del total, y
show("gradient", graph_text([x.grad.node]), "", f"x.grad.node.buffer  {x.grad.node.buffer}")
before = set(realize.plans.entries)
values = x.grad.numpy()
(executable, _), = [value for key, value in realize.plans.entries.items() if key not in before]
plan = executable.plan


def word(w):
    return f"{w.kind} {w.value}" + (f"+{w.offset}" if w.kind == "slot" and w.offset != 0 else "")


show("plan", *[f"input  {i}: {e.dtype}{list(e.shape)}" for i, e in enumerate(plan.inputs)],
     *[f"slot   {i}: {s.kind} {s.index}, {s.nbytes} bytes" for i, s in enumerate(plan.slots)],
     *[f"step   {i}: {s.label}: {s.program.entry} over {s.units} unit(s), words "
       f"({', '.join(map(word, s.words))})" for i, s in enumerate(plan.steps)],
     *[f"output {i}: {o.dtype}{list(o.shape)} in slot {o.slot}" for i, o in enumerate(plan.outputs)])
show("value", repr(values))
'''


def run() -> tuple[str, str]:
    """Standard output and standard error of the program."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"SQUALL_DEBUG": "4", "SQUALL_CACHE_DIR": cache, "SQUALL_BACKEND": "cpu"}
        child = subprocess.run(
            [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    if child.returncode:
        raise SystemExit(f"the program failed:\n{child.stderr}")
    return child.stdout, child.stderr


def sections(out: str, log: str) -> dict[str, str]:
    """What was shown, by the names the template uses."""
    shown = {}
    for part in out.split("@@")[1:]:
        name, _, body = part.partition("\n")
        shown[name] = body.strip("\n")
    messages = [message.strip("\n") for message in log.split("squall: ") if message.strip()]

    def starting(head: str) -> str:
        return next((message for message in messages if message.startswith(head)), "")

    shown["recorded"], shown["simplified"] = starting("graph recorded"), starting("graph simplify")
    shown["linear"], shown["llvm"] = starting("program"), loop_of(starting("declare"))
    missing = [name for name, text in shown.items() if not text]
    if missing:
        raise SystemExit(f"the program showed nothing for {', '.join(missing)}:\n{log}")
    return shown


def loop_of(text: str) -> str:
    """The vector loop of a kernel's LLVM text: from its label to its branch back."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if "phi" in line) - 1
    end = next(i for i in range(start, len(lines)) if lines[i].startswith("br "))
    return "\n".join(lines[start : end + 1])


def machine_free(text: str) -> str:
    """The page without what another machine would print otherwise: lanes, vectors, and the LLVM text."""
    text = re.sub(r"```llvm\n.*?```", "", text, flags=re.DOTALL)
    return re.sub(r"```linear\n.*?```", "", text, flags=re.DOTALL)


def page() -> str:
    """The whole page."""
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, value in sections(*run()).items():
        text = text.replace("{{" + name + "}}", value)
    left = re.findall(r"\{\{(\w+)\}\}", text)
    if left:
        raise SystemExit(f"the program shows nothing called {', '.join(left)}")
    return text


def main(arguments: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.flow", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    if not parser.parse_args(arguments).check:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    same = machine_free(PAGE.read_text(encoding="utf-8")) == machine_free(page())
    print("as written" if same else "the page is out of date: run `python -m tools.flow`")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
