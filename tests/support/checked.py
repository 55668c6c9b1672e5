"""Configurations for the tests of check, from the lines that matter."""

from pathlib import Path

from trio_fle.check.finding import Finding
from trio_fle.config import MemberConfig, load_config

THREE = """\
server.1=zk1:2888:3888
server.2=zk2:2888:3888
server.3=zk3:2888:3888
"""


def configured(directory: Path, lines: str = THREE, *, myid: int = 1, basic: bool = True) -> MemberConfig:
    """The configuration of a zoo.cfg with these lines, and with what every one has."""
    path = directory / "zoo.cfg"
    always = "tickTime=2000\ninitLimit=10\nsyncLimit=5\n" if basic else ""
    path.write_text(f"dataDir={directory}\n{always}{lines}")
    return load_config(path, myid=myid)


def codes(findings: list[Finding] | tuple[Finding, ...]) -> list[tuple[str, tuple[int, ...]]]:
    return [(finding.code, finding.servers) for finding in findings]
