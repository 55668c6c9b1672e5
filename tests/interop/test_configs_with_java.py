"""The table of tests/config, read by a real server's own parser: the same, or the table says why not."""

from pathlib import Path
from typing import Any

import jvm
import pytest
from config_table import Case, load_table, shortened

pytestmark = [pytest.mark.interop, pytest.mark.java, pytest.mark.beside]


def as_ours(answer: dict[str, Any]) -> dict[str, Any]:
    """Put into a server's answer what it does with a value that stands for another one."""
    ticks = answer["tickTime"] * answer["syncLimit"]
    return answer | {
        "connectToLearnerMasterLimit": answer["connectToLearnerMasterLimit"] or answer["initLimit"],
        "clientPortAddress": answer["clientPortAddress"] or "",
        "quorumCnxnTimeoutMs": answer["quorumCnxnTimeoutMs"] if answer["quorumCnxnTimeoutMs"] > 0 else ticks,
        "electionPortBindRetry": 3
        if answer["electionPortBindRetry"] < 0
        else answer["electionPortBindRetry"],
        "tcpKeepAlive": answer["tcpKeepAlive"] is not False,  # on unless it is switched off: ours alone
    }


def outcome(answer: dict[str, Any], case: Case) -> str | dict[str, Any]:
    """What the table has of an answer: the text of an error, or all values."""
    if "error" in answer:
        return str(answer["error"])
    return "accepted" if case.error is not None else as_ours(answer)


def expected(case: Case) -> str | dict[str, Any]:
    return case.java if case.java != "same" else case.values | case.java_values


def test_every_configuration_means_the_same_to_a_java_server(tmp_path: Path) -> None:
    cases = load_table()
    directories = [tmp_path / str(at) for at in range(len(cases))]
    questions = [
        {"path": str(case.write(directory)), "properties": case.properties}
        for case, directory in zip(cases, directories, strict=True)
    ]
    answers = jvm.ask(Path(__file__).with_name("java_parser.py"), questions)
    differ = {}
    for case, directory, answer in zip(cases, directories, answers, strict=True):
        is_told = outcome(shortened(answer, directory), case)
        if is_told != expected(case):
            differ[case.about] = difference(is_told, expected(case))
    assert differ == {}


def difference(told: str | dict[str, Any], meant: str | dict[str, Any]) -> object:
    if isinstance(told, dict) and isinstance(meant, dict):
        return {key: (told.get(key), meant.get(key)) for key in meant if told.get(key) != meant.get(key)}
    return told, meant
