"""Two processes of a program, and what they find at a lock's path."""

import os
import subprocess
import sys

# A time-out for what must happen. It measures nothing.
PATIENCE_S = 120


def kind_of(path):
    """What is at the path of a lock."""
    return "directory" if path.is_dir() else "file" if path.is_file() else "nothing"


def run_both(commands, environment, directory):
    """Runs two commands of this Python at once. Returns their outputs, and fails if one of them fails."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [
        subprocess.Popen([sys.executable, *command], cwd=directory, env={**os.environ, **environment}, **pipes)
        for command in commands
    ]
    try:
        said = [process.communicate(timeout=PATIENCE_S)[0] for process in both]
    finally:
        for process in both:
            process.kill()
    for process, text in zip(both, said):
        assert process.returncode == 0, f"status {process.returncode}:\n{text}"
    return said
