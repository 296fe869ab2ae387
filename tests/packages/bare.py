"""Debian 12 with only the packages that every Debian has, in a directory, and the work that a package must do there."""

import subprocess

from peers import CannotRun, last_line
from release import WORK, call, fresh

# What docs/using.md shows, with both protocols. $lock is a path in a directory of its own, which must be empty afterwards.
EACH = """
set -eu
expect() { # expect STATUS COMMAND...
    status=0; "${@:2}" || status=$?
    [ "$status" = "$1" ] || { echo "status $status, not $1: ${*:2}" >&2; exit 1; }
}
export LINKLOCK_PROTOCOL
for LINKLOCK_PROTOCOL in link dir; do
    lock=$(mktemp -d)/job.lock
    %s
    [ -z "$(ls -A "${lock%%/*}")" ] || { ls -A "${lock%%/*}"; exit 1; }
done
"""
# The lock is held while the command runs, and nobody else gets it.
RUN = EACH % """
    expect 3 linklock run "$lock" -- sh -c 'exit 3'
    linklock run "$lock" -- bash -c '
        linklock status --exit-code "$1" >&2; test $? = 1 || exit 9
        linklock run --nonblock --quiet "$1" -- true; test $? = 75 || exit 8' - "$lock"
"""
SCRIPT = EACH % """
    token=$(linklock acquire --lifetime 10m "$lock")
    expect 1 linklock status --exit-code "$lock"
    expect 75 linklock acquire --nonblock --quiet "$lock"
    linklock refresh "$lock" "$token"
    linklock release "$lock" "$token"
    expect 76 linklock release --quiet "$lock" "$token"
    expect 0 linklock status --exit-code "$lock"
"""


class Root:
    """A fresh Debian 12."""

    def __init__(self, name, variant="minbase", architecture=None, *packages):
        kept = WORK / "-".join(["debian", variant, *filter(None, [architecture]), *packages])
        if not kept.exists():
            debootstrap(kept, variant, architecture, packages)
        self.path = fresh(name)
        call("tar", "--extract", "--numeric-owner", "--file", kept, "--directory", self.path)

    def run(self, *command, **options):
        """Runs a command there, with a /proc and processes of its own."""
        # What is there may be for another processor.
        environment = ["env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]
        proc = ["unshare", "--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={self.path / 'proc'}"]
        print("in the root:", end=" ")
        return call(*command, through=[*proc, *environment, "chroot", self.path], **options)

    def files(self):
        find = ["find", self.path, "-xdev", "-path", self.path / "tmp", "-prune", "-o", "-printf", "%P\n"]
        listed = subprocess.run(list(map(str, find)), check=True, stdout=subprocess.PIPE, text=True).stdout
        return set(listed.splitlines())


def debootstrap(kept, variant, architecture, packages):
    """Packs a Debian 12. It comes from the mirror that apt asks by default."""
    made = kept.with_name(kept.name + ".new.tar")
    command = ["mmdebstrap", "--quiet", f"--variant={variant}", "bookworm", made]
    if architecture:
        command.append(f"--architectures={architecture}")
    if packages:
        command.append(f"--include={','.join(packages)}")
    try:
        print("+", *command, flush=True)
        subprocess.run(list(map(str, command)), check=True, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError as e:
        raise CannotRun("mmdebstrap is not installed") from e
    except subprocess.CalledProcessError as e:
        print(e.stderr)
        raise CannotRun(f"mmdebstrap: {last_line(e.stderr)}") from e
    made.rename(kept)
