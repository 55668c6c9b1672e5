"""A made data directory for each test that asks."""

from pathlib import Path

import pytest
from datadirs import Directory


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path)
