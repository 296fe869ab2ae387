//! One attack: the victim is stopped before a call that names a file, a name is swapped, the victim goes on. Then all that must
//! hold is looked at.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use linklock::{Guard, Protocol, Wait};
use rustix::process::geteuid;

use super::field::{Field, Kind, OWN, Victim};
use super::scenes::{Scene, rival};
use super::things::Thing;
use super::vault::Vault;
use super::watchdog::Watchdog;
use crate::puppet::Puppet;
use crate::trace::{Call, Dead, Trace};

/// Whom to attack, at what, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) scene: &'static Scene,
    pub(crate) protocol: Protocol,
    pub(crate) kind: Kind,
    pub(crate) victim: Victim,
}

/// At which stop, counted from 0; at which of the names there; and what is put in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    pub(crate) stop: usize,
    pub(crate) target: usize,
    pub(crate) thing: Thing,
}

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) stops: Vec<Names>,
    /// Whether the attacker could do it.
    pub(crate) is_done: bool,
    pub(crate) findings: Vec<String>,
    /// The calls that the victim made by name, the attack, and what was said.
    pub(crate) story: Vec<String>,
}

/// The names that can be swapped at a stop: first those that the next call uses.
#[derive(Debug)]
pub(crate) struct Names {
    /// The call.
    pub(crate) call: &'static str,
    pub(crate) used: usize,
    pub(crate) all: usize,
    /// Which of them the call uses as a directory.
    pub(crate) on_the_way: Vec<usize>,
    /// Which of them are in a directory beside the lock.
    pub(crate) inner: Vec<usize>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scene, protocol, kind, victim } = self;
        write!(f, "{protocol}: {}: {kind:?}: {victim:?}", scene.name)
    }
}

impl Case {
    pub(crate) fn run(&self, attack: Option<Attack>) -> Outcome {
        let field = Field::new(self.kind, self.victim);
        let held = self.scene.set(&field, self.protocol);
        let mut puppet = Puppet::start_as(self.command(&field));
        let watchdog = Watchdog::over(&puppet);
        let mut token = String::new();
        for order in self.scene.before {
            let said = puppet.ask(order).unwrap();
            token = if token.is_empty() { said } else { token };
        }
        let vault = Vault::look(&field);
        let mut trace = Trace::attach(&mut puppet).unwrap();
        for order in self.scene.orders {
            puppet.tell(&order.replace("TOKEN", &token));
        }
        let mut run = Run { field: &field, attack, outcome: Outcome::default() };
        if run.drive(&trace, &puppet, self.scene.orders.len()).is_ok() {
            trace.detach();
        }
        drop(trace);
        run.judge(self, &mut puppet, held);
        if watchdog.has_bitten() {
            run.find("the victim hangs");
        }
        for change in vault.changes(&field) {
            run.find(&change);
        }
        run.outcome
    }

    /// Whether the attack is one that another user could make. Where there is but one, nothing of his own is kept from him.
    pub(crate) fn is_anothers(&self, attack: &Attack, is_inner: bool) -> bool {
        let is_of_owner = [Thing::Copy, Thing::HardLink, Thing::DirectoryOfHardLinks, Thing::OwnDirectory];
        self.victim != Victim::Same || !is_inner && !is_of_owner.contains(&attack.thing)
    }

    fn command(&self, field: &Field) -> Command {
        let mut command = self.scene.settings(field, self.protocol).command("victim");
        if let Some((user, group)) = self.victim.ids() {
            command.env("VICTIM_USER", user.to_string()).env("VICTIM_GROUP", group.to_string());
        }
        command
    }
}

struct Run<'a> {
    field: &'a Field,
    attack: Option<Attack>,
    outcome: Outcome,
}

impl Run<'_> {
    fn find(&mut self, what: &str) {
        if self.outcome.is_done {
            self.outcome.findings.push(what.into());
        } else if self.attack.is_none() {
            panic!("{what}, and nobody attacked: {:#?}", self.outcome.story);
        }
    }

    fn drive(&mut self, trace: &Trace, puppet: &Puppet, orders: usize) -> Result<(), Dead> {
        let mut replies = 0;
        while replies < orders {
            let Some(call) = trace.next_unless_dead()? else {
                replies += 1;
                continue;
            };
            self.look_for_what_is_open(puppet);
            let used = self.used(&call);
            if used.is_empty() {
                continue;
            }
            let stop = self.outcome.stops.len();
            let mut names =
                Names { call: call.name(), used: used.len(), all: 0, on_the_way: Vec::new(), inner: Vec::new() };
            // To look at all that is there takes as long as all else.
            if self.attack.is_none_or(|attack| attack.stop == stop) {
                let is_on_the_way = |i: &usize| used[*i + 1..].iter().any(|path| path.starts_with(&used[*i]));
                names.on_the_way = (0..used.len()).filter(is_on_the_way).collect();
                let all = self.all(used);
                names.all = all.len();
                names.inner = (0..all.len()).filter(|i| all[*i].components().count() > 1).collect();
                self.attack(&call, &all);
            }
            self.outcome.stops.push(names);
            self.outcome.story.push(self.tell(&call));
        }
        Ok(())
    }

    fn tell(&self, call: &Call) -> String {
        let (dir, name) = (self.field.dir(), call.name());
        let paths = call.paths.iter().map(|path| path.strip_prefix(&dir).unwrap_or(path).display().to_string());
        format!("{name} {}", paths.collect::<Vec<_>>().join(", "))
    }

    fn attack(&mut self, call: &Call, names: &[PathBuf]) {
        let Some((attack, target)) = self.attack.and_then(|attack| Some((attack, names.get(attack.target)?))) else {
            return;
        };
        let path = self.field.dir().join(target);
        let inside = call.paths.iter().filter_map(|used| used.strip_prefix(&path).ok());
        let inside = inside.filter(|name| !name.as_os_str().is_empty()).map(OsString::from).collect();
        let done = attack.thing.put(self.field, &path, inside);
        self.outcome.is_done = done.is_ok();
        self.outcome.story.push(format!("*** {:?} in the place of {}: {done:?}", attack.thing, target.display()));
    }

    /// The names below the lock's directory that a call uses, with the directories on the way.
    fn used(&self, call: &Call) -> Vec<PathBuf> {
        let dir = self.field.dir();
        let mut all: Vec<PathBuf> = Vec::new();
        for path in call.paths.iter().filter_map(|path| path.strip_prefix(&dir).ok()) {
            let mut way = PathBuf::new();
            for name in path {
                way.push(name);
                if !way.starts_with(OWN) && !all.contains(&way) {
                    all.push(way.clone());
                }
            }
        }
        all
    }

    /// These names, and then all others.
    fn all(&self, used: Vec<PathBuf>) -> Vec<PathBuf> {
        let dir = self.field.dir();
        let mut others = below(&dir);
        others.sort();
        let mut all = used;
        for other in others.iter().filter_map(|path| path.strip_prefix(&dir).ok()) {
            if !other.starts_with(OWN) && !all.iter().any(|known| known == other) {
                all.push(other.to_owned());
            }
        }
        all
    }

    /// Nothing outside is to be opened, be it for reading. Through a hard link that cannot be helped.
    fn look_for_what_is_open(&mut self, puppet: &Puppet) {
        if !self.outcome.is_done || !self.attack.is_some_and(|attack| attack.thing.leads_away()) {
            return;
        }
        for entry in fs::read_dir(format!("/proc/{}/fd", puppet.pid())).into_iter().flatten().flatten() {
            let to = fs::read_link(entry.path()).unwrap_or_default();
            if to.starts_with(self.field.vault()) {
                let call = self.outcome.story.last().cloned().unwrap_or_default();
                self.find(&format!("{} was opened by {call}", to.display()));
            }
        }
    }

    /// What the victim says, and what it and an honest rival believe in the end.
    fn judge(&mut self, case: &Case, puppet: &mut Puppet, held: Option<Guard>) {
        let mut replies = Vec::new();
        for order in case.scene.orders {
            match puppet.reply_unless_dead() {
                Ok(reply) => {
                    self.outcome.story.push(format!("{order}: {reply:?}"));
                    replies.push(reply);
                }
                Err(last) => return self.find(&format!("the victim died: {last}")),
            }
        }
        // Since it took the lock last.
        let orders = case.scene.orders.iter().zip(&replies).rev();
        let said_lost = orders
            .take_while(|(order, _)| !order.starts_with("acquire"))
            .any(|(_, reply)| reply.as_ref().is_err_and(|said| said.starts_with("Lost")));
        let Ok(checked) = puppet.reply_to("check") else { return self.find("the victim died") };
        let believes = checked.is_ok();
        self.outcome.story.push(format!("check: {checked:?}"));
        if believes && said_lost {
            self.find("the victim believes in a lock that it was told to have lost");
        }
        if believes && !self.is_the_victims() {
            self.find("the victim believes in a lock that is another user's file");
        }
        if self.field.is_safe() && case.scene.must_go_well() && replies.iter().any(Result::is_err) {
            self.find("a holder was kept from its lock");
        }
        let rival = match held {
            Some(guard) => Ok(guard).and_then(|guard| guard.check().map(|()| guard)),
            None => rival(self.field, case.protocol).acquire_with(&Wait::never()),
        };
        self.outcome.story.push(format!("the rival: {rival:?}"));
        let still = puppet.reply_to("check").is_ok_and(|checked| checked.is_ok());
        if rival.is_ok() && (still || believes && self.field.is_safe()) {
            self.find("two hold the lock");
        }
        if rival.is_err() && case.scene.name == "queue up" && self.field.is_safe() {
            self.find("a rival lost its lock");
        }
    }

    /// Whether what is at the lock path belongs to the victim's user.
    fn is_the_victims(&self) -> bool {
        let user = self.field.victim.ids().map_or_else(|| geteuid().as_raw(), |(user, _)| user);
        let lock = self.field.lock();
        let is_its = |path: &Path| fs::symlink_metadata(path).is_ok_and(|data| data.uid() == user);
        is_its(&lock) && below(&lock).iter().all(|path| is_its(path))
    }
}

/// All that is in a directory, without following any link.
fn below(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    if fs::symlink_metadata(dir).is_ok_and(|data| data.is_dir()) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            all.push(entry.path());
            all.extend(below(&entry.path()));
        }
    }
    all
}
