"""Real ZooKeeper's own classes, asked in a JVM: a test asks a script of its own, in JSON, and gets JSON.

The JVM lives and ends with the script's process, as static fields and system properties outlive a question::

    # tests/interop/java_sums.py
    def reply(question: list[int]) -> int:
        return sum(int(JClass("java.lang.Integer").valueOf(each)) for each in question)

    if __name__ == "__main__":
        jvm.answer(reply)

    # tests/interop/test_sums.py
    assert jvm.ask(Path(__file__).with_name("java_sums.py"), [1, 2]) == 3
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_JAR = "/usr/share/java/zookeeper.jar"  # its manifest names the jars that it needs
_FLAGS = ["-Xmx96m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]


def ask(script: Path, question: object, timeout_s: float = 120) -> Any:
    """Run ``script`` in a process of its own, and return its answer to ``question``."""
    asked = subprocess.run(
        [sys.executable, str(script)],
        input=json.dumps(question).encode(),
        capture_output=True,
        timeout=timeout_s,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    )
    if asked.returncode != 0:
        raise AssertionError(f"{script.name} ended with {asked.returncode}: {asked.stderr.decode()[-4000:]}")
    return json.loads(asked.stdout)


def answer(reply: Callable[[Any], object]) -> None:
    """Start the JVM, and write what ``reply`` says to the question on stdin; Java writes to stderr alone."""
    import jpype  # only a script has it loaded, never the tests' own process

    stdout = os.dup(1)
    os.dup2(2, 1)
    question = json.load(sys.stdin)
    jpype.startJVM(*_FLAGS, classpath=[_JAR], convertStrings=False)
    with os.fdopen(stdout, "w") as out:
        json.dump(reply(question), out)
