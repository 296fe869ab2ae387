//! A process that acquires, holds and releases a lock by orders, one at a time.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::time::Duration;

use linklock::{Error, Guard, Lock, Token, Wait, Which};

use crate::common::Ground;
use crate::processes::{kill, start};
use crate::settings::Settings;

/// The process, as its driver sees it. A drop kills it.
pub(crate) struct Puppet {
    child: Child,
    orders: ChildStdin,
    replies: BufReader<ChildStderr>,
}

impl Puppet {
    pub(crate) fn start(settings: &Settings) -> Self {
        Self::start_as(settings.command("puppet"))
    }

    /// Starts it by a command that reaches `perform`.
    pub(crate) fn start_as(mut command: Command) -> Self {
        let mut child = start(command.stdin(Stdio::piped()).stderr(Stdio::piped()));
        let orders = child.stdin.take().unwrap();
        let replies = BufReader::new(child.stderr.take().unwrap());
        Self { child, orders, replies }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn tell(&mut self, order: &str) {
        self.orders.write_all(format!("{order}\n").as_bytes()).unwrap();
    }

    /// The result of the last order. An error starts with its kind. A lock that was lost right after its acquisition ends with
    /// "lost".
    pub(crate) fn reply(&mut self) -> Result<String, String> {
        self.reply_unless_dead().unwrap_or_else(|last| panic!("the puppet died: {last}"))
    }

    /// Like `reply`, but a dead puppet is an error with its last line.
    pub(crate) fn reply_unless_dead(&mut self) -> Result<Result<String, String>, String> {
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        match line.trim_end().split_once(' ') {
            Some(("ok", said)) => Ok(Ok(said.into())),
            Some(("err", said)) => Ok(Err(said.into())),
            _ => Err(line),
        }
    }

    /// Like `ask`, but a dead puppet is an error.
    pub(crate) fn reply_to(&mut self, order: &str) -> Result<Result<String, String>, String> {
        if writeln!(self.orders, "{order}").is_err() { Err(String::new()) } else { self.reply_unless_dead() }
    }

    pub(crate) fn ask(&mut self, order: &str) -> Result<String, String> {
        self.tell(order);
        self.reply()
    }

    /// Acquires the lock, with a long time-out, and returns the token.
    pub(crate) fn acquire(&mut self) -> String {
        self.ask("acquire 60000").unwrap()
    }

    /// Kills it. It stays a zombie until it is reaped or dropped.
    pub(crate) fn kill(&mut self) {
        kill(&mut self.child);
    }

    pub(crate) fn reap(&mut self) {
        self.child.wait().unwrap();
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process itself. It replies on stderr, since the test harness writes to stdout.
pub(crate) fn perform() {
    let settings = Settings::from_env();
    let lock = settings.lock();
    let mut guard: Option<Guard> = None;
    for order in io::stdin().lines() {
        let order = order.unwrap();
        let (verb, object) = order.split_once(' ').unwrap_or((&order, ""));
        if guard.is_none() && matches!(verb, "check" | "refresh" | "downgrade" | "release" | "leave") {
            io::stderr().write_all(b"err NotHeld: no order has taken the lock\n").unwrap();
            continue;
        }
        let held = || guard.as_ref().unwrap();
        let done: Result<String, Error> = match verb {
            "thread" => Ok(std::fs::read_link("/proc/thread-self").unwrap().display().to_string()),
            "warm" => {
                let elsewhere = Ground::new();
                let lock = Settings { path: elsewhere.lock(), ..settings.clone() }.lock();
                lock.acquire().unwrap().release().map(|()| "warm".into()).map_err(Error::from)
            }
            "acquire" => {
                let wait = Wait::up_to(Duration::from_millis(object.parse().unwrap()));
                lock.acquire_with(&wait).map(|acquired| {
                    let lost = if acquired.is_lost() { " lost" } else { "" };
                    format!("{}{lost}", guard.insert(acquired).token())
                })
            }
            "adopt" => lock.adopt(&Token::new(object)).map(|adopted| guard.insert(adopted).token().to_string()),
            "check" => held().check().map(|()| "held".into()),
            "refresh" => held().refresh().map(|()| "refreshed".into()),
            "downgrade" => match guard.take().unwrap().downgrade() {
                Ok(downgraded) => Ok(guard.insert(downgraded).token().to_string()),
                Err(e) => {
                    let (error, kept) = e.into_parts();
                    guard = Some(kept);
                    Err(error)
                }
            },
            "release" => guard.take().unwrap().release().map(|()| "released".into()).map_err(Error::from),
            "break" => lock.break_lock(&which(object)).map(|broken| format!("broken: {}", broken.is_some())),
            "clean" => lock.leftovers().and_then(|all| lock.clean(all)).map(|done| format!("cleaned: {}", done.len())),
            "inspect" => lock.inspect().map(|status| format!("{:?}", status.state)),
            "survey" => survey(lock.path().parent().unwrap()),
            "leave" => Ok(guard.take().unwrap().leave().to_string()),
            _ => panic!("no such order: {order}"),
        };
        let reply = match done {
            Ok(said) => format!("ok {said}\n"),
            Err(e) => format!("err {:?}: {e}\n", e.kind()),
        };
        io::stderr().write_all(reply.as_bytes()).unwrap();
    }
}

/// How many locks are in a directory and in those below it.
fn survey(dir: &Path) -> Result<String, Error> {
    let mut left = vec![Lock::builder(dir).survey()?];
    let mut locks = 0;
    while let Some(found) = left.pop() {
        locks += found.locks.len();
        // What others may have replaced since it was found.
        left.extend(found.directories.iter().filter_map(|below| below.survey().ok()));
    }
    Ok(format!("{locks} locks"))
}

/// Which lock an operator wants broken.
fn which(object: &str) -> Which {
    match object {
        "any" => Which::Any,
        "expired" => Which::Expired,
        token => Which::Claim(Token::new(token)),
    }
}
