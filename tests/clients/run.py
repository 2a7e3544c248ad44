"""Installs the strangers' clients into a folder of their own and runs the suite.

Needs Python 3.11 and either `venv` or `pip`; never root. The folder is kept,
and filled anew only when requirements.txt or the interpreter changed. All
arguments go to pytest.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = ROOT / "target" / "clients"
REQUIREMENTS = HERE / "requirements.txt"
# The two SDKs are 30,000 files: compiling them all takes longer than all tests.
# The list is complete, so nothing is resolved again.
PIP = "install --quiet --no-input --disable-pip-version-check --no-compile --no-deps --require-hashes".split()


def main() -> int:
    if sys.version_info < (3, 11):
        print(
            "error: the clients need Python 3.11 or later\nhint: make test-clients PYTHON=python3.12", file=sys.stderr
        )
        return 1
    python, packages = install()
    environment = dict(os.environ)
    environment["PYTHONPATH"] = str(packages or "")
    apgit = environment.setdefault("APGIT", str(ROOT / "target" / "debug" / "apgit"))
    if not Path(apgit).exists():
        print(f"error: there is no `{apgit}`\nhint: cargo build --bin apgit, or set APGIT", file=sys.stderr)
        return 1
    # Compiled files stay out of the source folder, but are kept: otherwise
    # each run would compile its part of the SDKs anew.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(FOLDER / "pycache")
    arguments = ["-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={FOLDER / 'tmp'}", str(HERE), *sys.argv[1:]]
    return subprocess.run([str(python), *arguments], env=environment, check=False).returncode


def install() -> tuple[Path, Path | None]:
    """The interpreter to run, and the folder to add to its path where it has no environment of its own."""
    venv, plain = FOLDER / "venv", FOLDER / "packages"
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = FOLDER / "installed"
    wanted = f"{sys.version}\n{sys.executable}\n{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()}\n"
    if not (stamp.exists() and stamp.read_text() == wanted):
        print("installing the clients that others wrote (a few minutes, once)", file=sys.stderr)
        for old in (venv, plain, FOLDER / "pycache"):
            shutil.rmtree(old, ignore_errors=True)
        stamp.unlink(missing_ok=True)
        FOLDER.mkdir(parents=True, exist_ok=True)
        fill(venv, python, plain)
        stamp.write_text(wanted)
    return (python, None) if python.exists() else (Path(sys.executable), plain)


def fill(venv: Path, python: Path, plain: Path) -> None:
    made = subprocess.run([sys.executable, "-m", "venv", str(venv)], capture_output=True, text=True, check=False)
    if made.returncode == 0:
        pip = [str(python), "-m", "pip", *PIP]
        hint = "PyPI must be within reach the first time"
    else:
        # Some distributions ship Python without ensurepip, and half a venv.
        shutil.rmtree(venv, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", *PIP, "--target", str(plain)]
        hint = "install your system's package for Python's venv, or make test-clients PYTHON=…"
    if subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=False).returncode != 0:
        print(f"error: cannot install what {REQUIREMENTS.name} lists\nhint: {hint}", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    sys.exit(main())
