//! Which warnings this process has given already.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a directory can be warned of.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) enum Warning {
    NotPrivate,
    FileSystemNotKnown,
}

/// Whether this process has not warned of this yet. With very many directories, it may warn of one twice.
pub(super) fn is_first(warning: Warning, dir: &Path) -> bool {
    // 0: unused. Not a mutex, which a fork could leave locked.
    static WARNED_OF: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
    let mut hasher = DefaultHasher::new();
    (warning, dir).hash(&mut hasher);
    let mark = hasher.finish().max(1);
    for slot in &WARNED_OF {
        match slot.compare_exchange(0, mark, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(other) if other == mark => return false,
            Err(_) => {}
        }
    }
    WARNED_OF[mark as usize % WARNED_OF.len()].store(mark, Ordering::Relaxed);
    true
}
