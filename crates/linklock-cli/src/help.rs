//! The longer help texts, which the man page also contains. A line of capitals begins a section.

pub(crate) const GENERAL: &str = "\
EXAMPLES
  Run a command while holding a lock; a second run waits for the first:
    linklock run /srv/shared/report.lock ./make-report

  See who holds the lock:
    linklock status /srv/shared/report.lock

ENVIRONMENT
  The defaults of options, for all locks of a user or a job:
  LINKLOCK_PROTOCOL  --protocol of run and acquire
  LINKLOCK_LIFETIME  --lifetime of run and acquire
  LINKLOCK_GRACE     --grace
  LINKLOCK_WAKE      --wake of run, acquire and release
  LINKLOCK_JOURNAL   --journal of run, acquire, refresh, release, break and ls --watch

  For COMMAND, run sets LINKLOCK_PATH, LINKLOCK_TOKEN and, with --fence, LINKLOCK_FENCE; with
  --slots, LINKLOCK_SLOT.
  NO_COLOR, CLICOLOR, CLICOLOR_FORCE and TERM choose colours.

WHAT OTHERS CAN READ
  A lock names its holder: the host's name, the pid, and the expiry. A lock of --protocol dir also
  contains the name of COMMAND (acquire: of the process that holds the lock), the user's name,
  the lifetime, and the time when the holder began to contend. Everybody who can reach the file
  may read it: its mode is 0644, less the umask. linklock writes the arguments of COMMAND,
  which may contain a password, only with --describe-command.

  Whoever may write to the directory can forge all of this. status also shows the owner of the
  lock's file, which comes from the file system.

DIRECTORIES THAT OTHERS MAY WRITE TO
  A user who may write to LOCKPATH's directory can deny the lock to everybody. If the directory
  is not sticky (chmod +t), or belongs to that user, the user can also remove a lock that is
  held, and then two contenders can hold it. linklock warns root of such a directory.
  --require-private refuses every directory that anybody but this user and root may write to.

EXIT STATUS
  0      success; run: the exit status of COMMAND
  1-4    status --exit-code: held, expired, abandoned, not a lock; ls --older-than: 1 a lock
         is older, 2 one may be
  64     usage error: an option, a duration, a path or a token is not valid
  73     LOCKPATH's directory is missing; or the claim cannot be created: the directory is full,
         or the name is too long; ls: there is neither a directory nor a lock
  74     input/output error; or the file at LOCKPATH is not a lock; or the file system
         lacks something that the protocol needs
  75     not acquired in time (wait: not free, break: not expired); -E chooses another number
  76     the lock was lost, or TOKEN does not hold it
  77     permission denied; or LOCKPATH's directory is not private (--require-private)
  126    run: COMMAND cannot be executed
  127    run: COMMAND was not found
  128+N  run: signal N killed COMMAND; run, acquire, wait: signal N ended the wait

  Windows has no signals, and the exit status of COMMAND has 32 bits. There
  3221225786 (0xC000013A) means that Ctrl-C ended the wait.";

pub(crate) const RUN_USAGE: &str = "\
linklock run [OPTIONS] LOCKPATH [--] COMMAND [ARG...]
       linklock run [OPTIONS] LOCKPATH -c WORDS";

pub(crate) const RUN_ABOUT: &str = "\
Run COMMAND while holding the lock

linklock acquires the lock, runs COMMAND, refreshes the lock while COMMAND runs, and releases it when COMMAND has ended. \
COMMAND finds the absolute lock path in LINKLOCK_PATH, and the token in LINKLOCK_TOKEN.

If a service manager has opened sockets for linklock (LISTEN_FDS), COMMAND gets them, and LISTEN_PID is COMMAND's pid.

With --fence, COMMAND finds a fencing token in LINKLOCK_FENCE: a number greater than those of all earlier acquisitions. \
The resource that the lock protects can remember the greatest number that it has seen, and refuse smaller ones. That \
stops a COMMAND on a machine that was suspended and does not know that its lock was broken.

With --hold, linklock keeps the lock after COMMAND has ended, until that time has passed since its start. TERM, INT, HUP and \
QUIT end the hold, also if they came while COMMAND ran. The exit status is that of COMMAND, or 76 if the lock is lost.

Signals: linklock passes TERM, INT, HUP, QUIT, USR1 and USR2 on to COMMAND. While linklock waits for the lock, these \
signals end the wait. A signal that is ignored when linklock starts, as under nohup, stays ignored.

Loss: the lock is lost if linklock could not refresh it in time, or if somebody broke it. Then linklock sends TERM to \
COMMAND, on Linux also to all processes that COMMAND has started, sends KILL after --kill-after, and exits with 76. \
linklock treats a lock that it cannot refresh as lost a sixth of the lifetime before the deadline. So COMMAND has that \
time to stop before another contender may hold the lock. A linklock that is stopped (Ctrl-Z, SIGSTOP) refreshes nothing: \
if it continues too late, the lock is lost.

If linklock itself is killed (SIGKILL), Linux kills COMMAND at once, and waiting contenders on this machine take the \
lock. Linux does not kill the processes that COMMAND has started, nor a COMMAND that is set-user-ID, set-group-ID or has \
file capabilities. A COMMAND that hangs in a file system ends only when the file system answers. On other Unix systems \
COMMAND goes on. If work must not overlap even then, let all contenders use --no-recover-dead, with a lifetime that \
covers the rest of the work.

On Windows, linklock, COMMAND and all processes that COMMAND starts are in one job. If linklock is killed, or the lock is \
lost, Windows ends COMMAND and these processes at once: there is no TERM, and --kill-after has no effect. If COMMAND ends \
by itself, these processes go on. COMMAND gets Ctrl-C and Ctrl-Break from the console, and linklock waits for COMMAND. If \
the console is closed, COMMAND has the few seconds that Windows grants. If COMMAND has no extension, Windows looks only \
for .exe: name a batch file with its .cmd or .bat.";

pub(crate) const RUN: &str = "\
EXAMPLES
  Run a nightly job on one of many machines, in the crontab of each:
    linklock run -n -q --hold 10m /srv/shared/nightly.lock ./nightly.sh

  Wait five minutes at most, and exit with 200 if that was too short:
    linklock run -w 5m -E 200 /srv/shared/build.lock make -j8 all

  Run several commands under one lock:
    linklock run /srv/shared/data.lock -c 'fetch && convert | publish'

  Run four downloads at most at a time, on all machines together:
    linklock run --slots 4 /srv/shared/downloads -- wget -nv http://example.com/large

EXIT STATUS
  That of COMMAND; 128+N if signal N killed COMMAND; 126 if COMMAND cannot be executed, 127 if
  it was not found; 75 if the lock was not acquired in time, 76 if it was lost.
  See linklock --help.";

pub(crate) const ACQUIRE_ABOUT: &str = "\
Acquire the lock for a script, and print its token

The token names the claim; refresh and release need it. Nothing refreshes the lock in the background: choose a lifetime \
that is long enough, or refresh the lock in time.

The lock belongs to the shell that reads the token, as in TOKEN=$(linklock acquire LOCKPATH), also through timeout, nice or \
sudo. If that shell ends without releasing the lock, the lock is abandoned, and contenders on this machine take it at once. \
Where no such shell is known, such as with the token in a file, or on a system without /proc, the lock belongs to no \
process and lasts until its expiry: name the script with --pid \"$$\".

On Windows, the lock belongs to the shell that has started linklock, and a token contains ^ instead of |: put it in double \
quotes for cmd.";

pub(crate) const ACQUIRE: &str = "\
EXAMPLES
  Run a part of a script under a lock:
    token=$(linklock acquire --lifetime 5m /srv/shared/data.lock) || exit
    convert-data
    linklock release /srv/shared/data.lock \"$token\"

  Take a lock that outlives the script, for another script to release:
    linklock acquire --pid none --lifetime 2h /srv/shared/data.lock > token

  Take a lock with a fencing token:
    linklock acquire --pid \"$$\" --fence /srv/shared/data.lock > held || exit
    { read -r token; read -r fence; } < held

  In a batch file of Windows:
    for /f \"delims=\" %%t in ('linklock acquire C:\\data.lock') do set token=%%t
    linklock release C:\\data.lock \"%token%\"";

pub(crate) const STATUS: &str = "\
EXAMPLES
  Show all locks of a directory that are not free, for a monitor:
    linklock status --json /srv/shared/*.lock

  Ask in a script whether the lock is free; by the next line it may be held:
    if linklock status --exit-code /srv/shared/data.lock; then echo free; fi

EXIT STATUS
  0, whatever the state is. With --exit-code: 0 free, 1 held, 2 expired, 3 abandoned,
  4 not a lock. 73 if LOCKPATH's directory does not exist. See linklock --help.";

pub(crate) const LS_ABOUT: &str = "\
List the locks of a directory: who holds them, who waits, since when, and which are safe to break

ls changes nothing, unless its user breaks a lock in the table of --watch. It finds a lock by the names of claims and tickets \
beside it, or as a directory with linklock's mark, or as a small file with an expiry; it does not list or open other files. So a \
free lock for which nobody waits is not found. It compares times with this machine's clock; contenders use the file server's clock.

HELD: for how long the lock has been held. < stands before the most that it can be, > before the least: a lock of --protocol dir \
tells when it was acquired, a lock of --protocol link only when it was refreshed.

SAFE TO BREAK: yes, if the holder's process has ended or the lifetime and the grace have passed; no, if the process is alive on \
this machine; otherwise the time before which it is not safe, if the holder does not refresh the lock by then.

--watch shows a table that fills the terminal. Keys: arrows, PgUp, PgDn, Home and End choose a lock; s sorts by the next column; r \
reverses the order; / filters; Enter shows all that is known of a lock; b breaks the lock, after a question, but not if it has \
changed hands since it was shown; ? lists the keys; q quits.";

pub(crate) const LS: &str = "\
EXAMPLES
  List all locks of a directory and of those below it:
    linklock ls -r /srv/shared

  Watch all locks of a directory in a table, where they can be broken too:
    linklock ls --watch /srv/shared

  Report locks that have been held for more than an hour:
    linklock ls --older-than 1h /srv/shared || echo 'a lock is held for long'

  Metrics for the node exporter of Prometheus, from cron:
    linklock ls --prometheus /srv/shared > locks.tmp && mv locks.tmp locks.prom

EXIT STATUS
  0, whatever the locks are. With --older-than: 0 none is older, 1 one is older, 2 none is known
  to be older but one may be. An error has its own number, which comes first.
  See linklock --help.";

pub(crate) const BREAK: &str = "\
EXAMPLES
  Break the lock that you have seen, and no later one:
    linklock status --json /srv/shared/data.lock
    linklock break /srv/shared/data.lock --token 'data.lock|host|4711|00012345678901234567'";

#[cfg(unix)]
pub(crate) const DOCTOR_ABOUT: &str = "\
Find out whether a directory is fit for locks, and what to choose there

linklock says what it knows of the kind of file system, and tries what locks need: hard links, renames, times, the sticky bit, \
names, waking, and locks of both protocols. It does so under names of its own in DIR, and removes them again. It takes about \
ten seconds.

With a second path of the same directory, or with a second host, it also measures how late each side sees what the other does, \
how far apart their clocks are, and whether both ever hold a lock at once.";

#[cfg(unix)]
pub(crate) const DOCTOR: &str = "\
EXAMPLES
  Examine a directory:
    linklock doctor /srv/shared

  Measure between two hosts; start both within a minute:
    host-a$ linklock doctor --with host-b /srv/shared
    host-b$ linklock doctor --with host-a /srv/shared

EXIT STATUS
  0 fit, 1 fit with warnings, 2 unfit, by the protocol that is fit best. Other numbers: it could
  not be examined. See linklock --help.";

pub(crate) const CLEAN_ABOUT: &str = "\
List or remove the files that killed contenders left beside the lock

A contender that is killed while it waits leaves its claim, a file or a directory LOCKPATH|HOST|PID|NONCE (on Windows with ^ \
for |), a ticket in the queue, or its bell. These files do no harm but fill the directory. Every break of the lock removes them; clean \
removes them at any time, even while the lock is held.

clean removes the files of processes of this machine that have ended, and files that expired more than a day and more than \
ten lifetimes ago. It keeps the claim that holds the lock, claims of live processes, and other files that only look like \
claims by name. A linklock that still waits with so old a claim, on another machine, makes a new one; a flufl.lock fails.

On NFS 4, a release of a dir lock leaves an empty directory at the lock path, which is a free lock. clean with LOCKPATH removes \
it: do that before another program, such as flufl.lock, uses that path.

Without --yes clean changes nothing, and uses this machine's clock for the age; with --yes it uses the file server's clock.";

pub(crate) const CLEAN: &str = "\
EXAMPLES
  List the leftovers of all locks in a directory, then remove them:
    linklock clean /srv/shared
    linklock clean --yes /srv/shared

EXIT STATUS
  0 on success, whether there were leftovers or not; 74 if the directory cannot be listed or a
  leftover cannot be removed; 77 if this user may not do that.";

pub(crate) const REPORT_ABOUT: &str = "\
Summarise journals: who held each lock for how long, and how long others waited

The journals are files that run, acquire, refresh, release and break have written with --journal. For each lock, report shows the \
holds, the waits, breaks, losses and time-outs, and who held it. The slots of a lock count together.

The times by percentile are rounded up by at most 7 percent; totals and maxima are exact. A hold that one linklock began and another \
ended, as acquire and release do, is measured by the wall clocks of both, and counted as such. A hold has no end if its holder was \
killed, still holds the lock, or ended it without a journal.

With --since and --until, the report is of what happened from the one time on and before the other, by the wall clocks of the hosts. A hold counts if it ended then, with its whole length; and as one without an end if it had begun by then, at any time, and had not ended.

report skips lines that it cannot read, and says how many there are and where the first is. The last line of a journal may be \
incomplete after a crash. report needs little memory for journals of any size: it remembers at most 1000 locks, 1000 holders and 16384 \
holds that have not ended, and says so if there are more. It shows 1000 of these.";

pub(crate) const REPORT: &str = "\
EXAMPLES
  Write a journal, and read it:
    linklock run --journal /var/log/linklock.jsonl /srv/shared/report.lock ./make-report
    linklock report /var/log/linklock.jsonl

  Read the journals of several hosts, also compressed ones:
    zcat /srv/logs/*.jsonl.gz | linklock report --json /dev/stdin

  What happened since yesterday at this time, and on New Year's Day:
    linklock report --since 24h /var/log/linklock.jsonl
    linklock report --since 2026-01-01T00:00:00Z --until 2026-01-02T00:00:00Z /var/log/linklock.jsonl

EXIT STATUS
  0, whatever the journals say; 74 if one of them cannot be read. See linklock --help.";
