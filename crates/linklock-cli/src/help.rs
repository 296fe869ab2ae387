//! The longer help texts, which are also parts of the man page. A line of capitals begins a section.

pub(crate) const GENERAL: &str = "\
EXAMPLES
  Run a command while holding a lock; whoever comes second waits:
    linklock run /srv/shared/report.lock ./make-report

  See who has it:
    linklock status /srv/shared/report.lock

WHAT OTHERS CAN READ
  A lock says who holds it: the host's name, the pid, and when it expires. One of --protocol dir
  says besides: the name of COMMAND (acquire: of the process that the lock is for), the user's
  name, the lifetime, and when the holder began to contend. Its file has mode 0644, less the
  umask, so everybody may read it who can reach it. The arguments of COMMAND, which may hold a
  password, are written with --describe-command alone. All this is what the lock says: whoever may
  write to its directory can make it say anything. The owner of the lock's file, which status shows
  too, is what the file system says.

DIRECTORIES THAT OTHERS MAY WRITE TO
  Whoever may write to LOCKPATH's directory can deny the lock to all. Where the directory is
  not sticky (chmod +t), or belongs to that user, he can also remove a lock that is held, and
  then two can hold it. root is warned of such a directory. --require-private refuses every
  directory that anybody but this user and root may write to.

EXIT STATUS
  0      done; run: whatever COMMAND exits with
  64     usage: an option, a duration, a path or a token that cannot work
  73     cannot create: LOCKPATH's directory is missing or full, or the name is too long
  74     input/output error; or what is at LOCKPATH is not a lock; or the file system
         cannot do what the protocol needs
  75     not acquired (wait: not free; break: not over) in time; -E chooses another number
  76     the lock was lost, or is not held by TOKEN
  77     permission denied; or LOCKPATH's directory is not private, as --require-private wants it
  126    run: COMMAND cannot be executed
  127    run: COMMAND was not found
  128+N  run: signal N killed COMMAND; run, acquire, wait: signal N ended the wait

  On Windows there are no signals, and COMMAND's status has 32 bits. There
  3221225786 (0xC000013A) says that Ctrl-C ended the wait.";

pub(crate) const RUN_USAGE: &str = "linklock run [OPTIONS] LOCKPATH [--] COMMAND [ARG...]";

pub(crate) const RUN_ABOUT: &str = "\
Run COMMAND while holding the lock

Takes the lock, runs COMMAND, keeps the lock alive for as long as COMMAND runs, and releases it when COMMAND ends, \
however it ends. COMMAND finds the absolute lock path in LINKLOCK_PATH and the claim's name in LINKLOCK_TOKEN.

With --fence it finds in LINKLOCK_FENCE a number that is greater than all that were given before. What the lock protects \
can refuse whoever comes with a smaller number than it has seen: a COMMAND on a machine that was stopped, and that goes on \
without knowing that its lock was broken.

Signals: TERM, INT, HUP, QUIT, USR1 and USR2 are passed on to COMMAND. While linklock still waits for the lock they \
end the wait. A signal that is ignored when linklock starts, as nohup does it, stays ignored.

Loss: if the lock cannot be refreshed in time, or was broken, COMMAND must not go on as if it held the lock. It gets \
TERM, and after --kill-after KILL; both reach COMMAND alone, not what it has started. linklock exits with 76. The \
loss is known a sixth of the lifetime before the deadline at the latest, so COMMAND has that long to stop before \
others may have the lock. A linklock that was stopped (Ctrl-Z, SIGSTOP) refreshes nothing: if it is continued too \
late it finds the lock lost.

If linklock itself is killed (SIGKILL), the kernel kills COMMAND at once, on Linux, and waiting contenders on this \
machine take the lock. This does not reach processes that COMMAND has started, nor a COMMAND that is set-user-ID, \
set-group-ID or has file capabilities, and a COMMAND that hangs in a file system ends only when that answers. Other \
Unixes have nothing like it: there COMMAND goes on. Where work must not overlap even then, let all contenders use \
--no-recover-dead, and a lifetime that covers the rest of the work.

On Windows COMMAND and all that it starts are in a job with linklock. If linklock is killed, or the lock is lost, the \
system ends them all at once: there is no TERM to ask with, and --kill-after has no effect. What COMMAND has left \
running when it ends by itself stays. Ctrl-C and Ctrl-Break reach COMMAND from the console, which they share; linklock \
waits for it. If the console is closed, COMMAND has the few seconds that Windows gives. A COMMAND without an extension \
is looked for as .exe alone: a batch file is named with its .cmd or .bat.";

pub(crate) const RUN: &str = "\
EXAMPLES
  Do nothing if another machine is at it already:
    linklock run -n /srv/shared/nightly.lock ./nightly.sh

  Wait five minutes at most, and tell a conflict from COMMAND's own statuses:
    linklock run -w 5m -E 200 /srv/shared/build.lock make -j8 all

  Several commands under one lock:
    linklock run /srv/shared/data.lock sh -c 'fetch && convert && publish'

EXIT STATUS
  COMMAND's own; 128+N if signal N killed it; 126 if it cannot be executed, 127 if it was
  not found; 75 if the lock was not acquired in time, 76 if it was lost. See linklock --help.";

pub(crate) const ACQUIRE_ABOUT: &str = "\
Take the lock for a script, and print its token

The token names the claim; refresh and release want it. The lock lasts for the lifetime and is not kept alive: choose one \
that is long enough, or refresh it in time. If the script ends without releasing it, the lock is dead, and contenders on \
this machine take it at once. On Windows a token has ^ for |, which cmd takes for its own unless it is in double quotes.";

pub(crate) const ACQUIRE: &str = "\
EXAMPLES
  A part of a script under a lock:
    token=$(linklock acquire --lifetime 5m /srv/shared/data.lock) || exit
    convert-data
    linklock release /srv/shared/data.lock \"$token\"

  A lock that outlives the script, for another one to release:
    linklock acquire --pid none --lifetime 2h /srv/shared/data.lock > token

  With a fencing token:
    linklock acquire --fence /srv/shared/data.lock > held || exit
    { read -r token; read -r fence; } < held

  In a batch file of Windows:
    for /f \"delims=\" %%t in ('linklock acquire C:\\data.lock') do set token=%%t
    linklock release C:\\data.lock \"%token%\"";

pub(crate) const STATUS: &str = "\
EXAMPLES
  All locks of a directory that are not free, for a monitor:
    linklock status --json /srv/shared/*.lock";

pub(crate) const BREAK: &str = "\
EXAMPLES
  Break the lock that you have looked at, and no other that came after it:
    linklock status --json /srv/shared/data.lock
    linklock break /srv/shared/data.lock --token 'data.lock|host|4711|00012345678901234567'";

pub(crate) const CLEAN_ABOUT: &str = "\
List, or remove, what killed contenders left beside the lock

A contender that is killed while it waits leaves its claim: a file or a directory LOCKPATH|HOST|PID|NONCE (^ for | on \
Windows), or a ticket in the queue. These do no harm but fill the directory. Whoever breaks a lock removes them; clean \
removes them at any time, also while the lock is held.

Removed is what a process of this machine left that has ended, and what expired more than a day and more than ten \
lifetimes ago. The claim that holds the lock, claims of live processes, and files that only have the name of a claim \
are kept. A linklock that still waits with so old a claim, on another machine, makes another one; a flufl.lock fails.

Without --yes nothing is changed, and age is judged by this machine's clock; with it, by the file server's.";

pub(crate) const CLEAN: &str = "\
EXAMPLES
  See what is left beside all locks of a directory, then remove it:
    linklock clean /srv/shared
    linklock clean --yes /srv/shared

EXIT STATUS
  0 if all is well, whether there was something to remove or not; 74 if the directory
  cannot be listed or something cannot be removed, 77 if this user may not.";
