//! What a victim does while it is attacked, and what is there before.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use linklock::{Guard, Lock, Protocol, Wait};

use super::field::{Field, WAITING_DIR, WAITING_FILE, make_dir};
use crate::common::{Ground, HOUR};
use crate::puppet::Puppet;
use crate::settings::Settings;

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    /// What the victim has done before anybody attacks it. An order's `TOKEN` is what the first of these has told.
    pub(crate) before: &'static [&'static str],
    pub(crate) orders: &'static [&'static str],
    stage: Stage,
    fence: bool,
    queue: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Empty,
    /// A lock whose holder has ended, and whatever else dead processes leave.
    Abandoned,
    /// The same by the attacker, and the lock names the claim of another that waits.
    Forged,
    /// As before, but without a lock.
    Leftovers,
    /// Another user holds the lock, and one that has ended waits in the queue.
    Held,
    /// The attacker holds it.
    Attackers,
}

const CYCLE: Scene = Scene {
    name: "acquire and release",
    before: &[],
    orders: &["acquire 0", "release"],
    stage: Stage::Empty,
    fence: false,
    queue: false,
};

pub(crate) const ALL: &[Scene] = &[
    CYCLE,
    Scene { name: "refresh", before: &["acquire 0"], orders: &["refresh"], ..CYCLE },
    Scene { name: "release", before: &["acquire 0"], orders: &["release"], ..CYCLE },
    Scene { name: "refresh by token", before: &["acquire 0", "leave"], orders: &["adopt TOKEN", "refresh"], ..CYCLE },
    Scene { name: "release by token", before: &["acquire 0", "leave"], orders: &["adopt TOKEN", "release"], ..CYCLE },
    Scene { name: "break and sweep", orders: &["acquire 0"], stage: Stage::Abandoned, ..CYCLE },
    Scene { name: "break another's", orders: &["acquire 0"], stage: Stage::Forged, ..CYCLE },
    Scene { name: "break as an operator", orders: &["break any"], stage: Stage::Abandoned, ..CYCLE },
    Scene { name: "clean", orders: &["clean"], stage: Stage::Leftovers, ..CYCLE },
    Scene { name: "fence twice", orders: &["acquire 0", "release", "acquire 0"], fence: true, ..CYCLE },
    Scene { name: "queue up", orders: &["acquire 30"], stage: Stage::Held, queue: true, ..CYCLE },
    Scene { name: "contend with the attacker", orders: &["acquire 0", "inspect"], stage: Stage::Attackers, ..CYCLE },
    Scene { name: "contend", orders: &["acquire 0", "inspect"], stage: Stage::Held, ..CYCLE },
];

impl Scene {
    pub(crate) fn settings(&self, field: &Field, protocol: Protocol) -> Settings {
        let settings = Settings::new(&field.lock(), protocol).lifetime(HOUR).grace(Duration::ZERO);
        Settings { fence: self.fence, queue: self.queue, ..settings }
    }

    /// Whether an attacker who can do nothing to the victim's files cannot keep it from anything here.
    pub(crate) fn must_go_well(&self) -> bool {
        self.before.first() == Some(&"acquire 0")
    }

    /// Puts there what is there before. Gives the rival's guard, if there is a rival.
    pub(crate) fn set(&self, field: &Field, protocol: Protocol) -> Option<Guard> {
        if self.stage == Stage::Held {
            field.victim.act(|| plant_ticket(field));
            return Some(rival(field, protocol).acquire_with(&Wait::never()).unwrap());
        }
        match self.stage {
            Stage::Abandoned => field.victim.act(|| {
                plant_leftovers(field);
                plant_lock(field, protocol);
            }),
            Stage::Leftovers => field.victim.act(|| plant_leftovers(field)),
            Stage::Forged => field.as_attacker(|| {
                plant_leftovers(field);
                forge_lock(field, protocol);
            }),
            Stage::Attackers => drop(field.as_attacker(|| rival(field, protocol).acquire().unwrap().leave())),
            Stage::Empty | Stage::Held => {}
        }
        None
    }
}

/// An honest contender, of the user that runs the tests.
pub(crate) fn rival(field: &Field, protocol: Protocol) -> Lock {
    Settings::new(&field.lock(), protocol).lifetime(HOUR).grace(Duration::ZERO).lock()
}

/// The name of a claim of a process of this machine that has ended.
pub(crate) fn dead_claim(number: u64) -> String {
    static ONE: OnceLock<String> = OnceLock::new();
    let one = ONE.get_or_init(|| {
        let ground = Ground::new();
        let mut puppet = Puppet::start(&Settings::new(&ground.lock(), Protocol::Link));
        puppet.acquire()
    });
    // The last digits are those that no other claim has.
    format!("{}{number:016x}", &one[..one.len() - 16])
}

fn plant_lock(field: &Field, protocol: Protocol) {
    let claim = dead_claim(1);
    match protocol {
        Protocol::Dir => plant_directory(&field.lock(), &claim, HOUR),
        _ => fs::hard_link(plant_file(field, &claim), field.lock()).unwrap(),
    }
}

fn plant_leftovers(field: &Field) {
    plant_file(field, &dead_claim(2));
    plant_directory(&field.dir().join(dead_claim(3)), &dead_claim(3), HOUR);
    let of_guard = |number| dead_claim(number).replacen("lock", "lock|break", 1);
    plant_directory(&field.dir().join("lock|break"), &of_guard(4), HOUR);
    plant_directory(&field.dir().join(of_guard(5)), &of_guard(5), HOUR);
    plant_ticket(field);
}

fn plant_file(field: &Field, claim: &str) -> PathBuf {
    let path = field.dir().join(claim);
    fs::write(&path, path.as_os_str().as_encoded_bytes()).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now() + HOUR).unwrap();
    path
}

fn plant_directory(path: &Path, entry: &str, lifetime: Duration) {
    make_dir(path, 0o1755);
    let content = format!(r#"{{"version":1,"lifetime_ms":{}}}"#, lifetime.as_millis());
    fs::write(path.join(entry), content).unwrap();
}

/// A lock that has expired, with the name of a claim that was not made by whoever made the lock.
fn forge_lock(field: &Field, protocol: Protocol) {
    if protocol == Protocol::Dir {
        plant_directory(&field.lock(), WAITING_DIR, Duration::from_millis(1));
        // What a ctime may be rounded down by is added.
        std::thread::sleep(Duration::from_millis(40));
        return;
    }
    fs::write(field.lock(), field.dir().join(WAITING_FILE).as_os_str().as_encoded_bytes()).unwrap();
    fs::hard_link(field.lock(), field.dir().join(dead_claim(1))).unwrap();
    let long_ago = SystemTime::now() - 24 * HOUR;
    fs::File::options().write(true).open(field.lock()).unwrap().set_modified(long_ago).unwrap();
}

fn plant_ticket(field: &Field) {
    let queue = field.dir().join("lock|queue");
    make_dir(&queue, 0o1777);
    fs::write(queue.join(format!("{:020}{}", 1, dead_claim(6))), "").unwrap();
}
