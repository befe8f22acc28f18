"""Adds to pyproject.toml what it cannot say: the wheel carries the repository's configs/ as remot/configs/."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copies the recipes; an editable installation finds those of the repository."""

    def run(self) -> None:
        """Build the package, then copy."""
        super().run()
        if not self.editable_mode:
            shutil.copytree("configs", Path(self.build_lib) / "remot" / "configs", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithConfigs})
