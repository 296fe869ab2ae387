//! What a victim does during an attack, and what is there before it.

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
    /// The victim's orders before the attack. `TOKEN` in an order stands for the reply to the first of them.
    pub(crate) before: &'static [&'static str],
    pub(crate) orders: &'static [&'static str],
    stage: Stage,
    fence: bool,
    queue: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Empty,
    /// A lock whose holder has ended, and the leftovers of other dead processes.
    Abandoned,
    /// The same by the attacker. The lock names the claim of an honest waiter.
    Forged,
    /// The leftovers without a lock.
    Leftovers,
    /// Another user holds the lock, and a waiter in the queue has ended.
    Held,
    /// The attacker holds it.
    Attackers,
    /// Another user holds it, a waiter in the queue has ended, and there is a directory with another lock, and one in that.
    Below,
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
    Scene { name: "survey", orders: &["survey"], stage: Stage::Abandoned, ..CYCLE },
    Scene { name: "survey below", orders: &["survey"], stage: Stage::Below, ..CYCLE },
];

impl Scene {
    pub(crate) fn settings(&self, field: &Field, protocol: Protocol) -> Settings {
        let settings = Settings::new(&field.lock(), protocol).lifetime(HOUR).grace(Duration::ZERO);
        Settings { fence: self.fence, queue: self.queue, ..settings }
    }

    /// Whether the victim must succeed if the attacker can do nothing to its files.
    pub(crate) fn must_go_well(&self) -> bool {
        self.before.first() == Some(&"acquire 0")
    }

    /// Prepares the stage. Returns the rival's guard, if there is a rival.
    pub(crate) fn set(&self, field: &Field, protocol: Protocol) -> Option<Guard> {
        if self.stage == Stage::Below {
            for dir in ["below", "below/deep"].map(|dir| field.dir().join(dir)) {
                field.as_attacker(|| make_dir(&dir, 0o777));
                let lock = Settings::new(&dir.join("job"), protocol).lifetime(HOUR).lock();
                drop(lock.acquire().unwrap().leave());
            }
        }
        if matches!(self.stage, Stage::Held | Stage::Below) {
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
            Stage::Empty | Stage::Held | Stage::Below => {}
        }
        None
    }
}

/// An honest contender of the user who runs the tests.
pub(crate) fn rival(field: &Field, protocol: Protocol) -> Lock {
    Settings::new(&field.lock(), protocol).lifetime(HOUR).grace(Duration::ZERO).lock()
}

/// A claim's name of a process of this machine that has ended.
pub(crate) fn dead_claim(number: u64) -> String {
    static ONE: OnceLock<String> = OnceLock::new();
    let one = ONE.get_or_init(|| {
        let ground = Ground::new();
        let mut puppet = Puppet::start(&Settings::new(&ground.lock(), Protocol::Link));
        puppet.acquire()
    });
    // The last digits make the claim's name unique.
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

/// An expired lock with the name of a claim that another user made.
fn forge_lock(field: &Field, protocol: Protocol) {
    if protocol == Protocol::Dir {
        plant_directory(&field.lock(), WAITING_DIR, Duration::from_millis(1));
        // The expiry, plus the resolution of a ctime.
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
