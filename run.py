"""Sets the project up and runs it, on any Python 3.10 to 3.13 with pip and venv:

    python3 run.py demo [ARGUMENTS of keras-sparse demo]
    python3 run.py test [ARGUMENTS of pytest]
    python3 run.py check        what CI runs beside the tests: lint, types, and all examples

Each makes its own virtual environment at the first run, and installs again only when its requirements have changed.
"""

import collections
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
# command -> virtual environment, what is installed in it
COMMANDS = {
    "demo": (".venv-demo", ["-e", "."]),
    "test": (".venv-test", ["-e", ".[test]"]),
    "check": (".venv-test", ["-e", ".[test,dev]"]),
}
REQUIREMENTS = ("setup.cfg", "pyproject.toml", "constraints.txt", "setup.py", "edge/*.py", "edge/**/*.[ch]")
# The environment is the user's, but for what would let another Python's packages in or send pip elsewhere.
LEAKS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER")
ENV = {name: value for name, value in os.environ.items() if name not in LEAKS}
ENV.update(PYTHONNOUSERSITE="1", PYTHONUNBUFFERED="1", PIP_DISABLE_PIP_VERSION_CHECK="1")


def main():
    command, arguments = (sys.argv[1] if len(sys.argv) > 1 else ""), sys.argv[2:]
    if command not in COMMANDS:
        stop(f"required: one of {', '.join(COMMANDS)}; received: {command or 'nothing'}", code=2)
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        stop(f"required: Python 3.10 to 3.13; received: {platform.python_version()} ({sys.executable})")
    scripts = set_up(command)
    if command == "demo":
        step("keras-sparse demo " + " ".join(arguments))
        return run(scripts / "keras-sparse", "demo", *arguments)
    if command == "test":
        step("pytest " + " ".join(arguments))
        return run(scripts / "python", "-m", "pytest", *arguments)
    return check(scripts / "python")


def set_up(command):
    """Makes the command's virtual environment what it should be; returns its folder of programs."""
    name, wanted = COMMANDS[command]
    folder = ROOT / name
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    made_by = "\n".join((sys.version, sys.base_prefix, str(ROOT)))
    digest = hashlib.sha256("\n".join((made_by, *wanted)).encode())
    for pattern in REQUIREMENTS:
        for file in sorted(ROOT.glob(pattern)):
            digest.update(file.read_bytes())
    stamp, maker = folder / f"installed-for-{command}", folder / "made-by"
    if stamp.is_file() and stamp.read_text() == digest.hexdigest():
        return scripts
    if not maker.is_file() or maker.read_text() != made_by:
        step(f"make the virtual environment {name} with Python {platform.python_version()}")
        shutil.rmtree(folder, ignore_errors=True)
        make = [sys.executable, "-m", "venv", str(folder)]
        made = subprocess.run(make, cwd=ROOT, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if made.returncode:
            print(made.stdout.decode(errors="replace"), end="", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            stop(f"{sys.executable} cannot make one; on Debian or Ubuntu: apt install python3-venv")
        maker.write_text(made_by)
    step(f"install {' '.join(w for w in wanted if w != '-e')} in {name} (a minute or more)")
    # The build backend comes from constraints.txt as well, hence --no-build-isolation.
    pip_install(scripts / "python", "--upgrade", "pip", "setuptools")
    pip_install(scripts / "python", "--no-build-isolation", *wanted)
    stamp.write_text(digest.hexdigest())
    return scripts


def pip_install(python, *wanted):
    """Runs pip, showing of its output only the large downloads and the size of the whole."""
    pip = [str(python), "-m", "pip", "install", "--no-input", "-c", "constraints.txt", *wanted]
    last = collections.deque(maxlen=30)
    with subprocess.Popen(
        pip, cwd=ROOT, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout:
            last.append(line)
            if line.split()[:1] in (["Downloading"], ["Using"]) and "MB)" in line:
                print(f"    {line.strip()}", flush=True)
            elif line.startswith("Installing collected packages:"):
                print(f"    installing {line.count(',') + 1} packages", flush=True)
    if process.returncode:
        print("".join(last), end="", file=sys.stderr)
        stop(f"pip could not install {' '.join(wanted)}; its last lines are above")


def check(python):
    """Everything is run, whatever fails; the last line names what did."""
    pytest = (python, "-m", "pytest", "-q")
    steps = {
        "ruff check": (python, "-m", "ruff", "check", "."),
        "ruff format": (python, "-m", "ruff", "format", "--check", "."),
        "mypy": (python, "-m", "mypy"),
        "docstring examples": (*pytest, "--doctest-modules", "keras_sparse"),
        "code blocks of README.md and docs": (*pytest, "README.md", "docs"),
    }
    examples = sorted((ROOT / "examples").glob("*.py"))
    failed = [] if examples else ["examples (there are none)"]
    for name, arguments in steps.items():
        step(name)
        if run(*arguments):
            failed.append(name)
    for example in examples:
        name = f"examples/{example.name} --smoke"
        step(name)
        with tempfile.TemporaryDirectory() as folder:
            if run(python, example, "--smoke", cwd=folder):
                failed.append(name)
    step(f"failed: {', '.join(failed)}" if failed else "all of it passed")
    return 1 if failed else 0


def run(*arguments, cwd=ROOT):
    return subprocess.run([str(argument) for argument in arguments], cwd=cwd, env=ENV).returncode


def step(text):
    print(f"==> {text.strip()}", flush=True)


def stop(text, code=1):
    print(f"run.py: {text}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
