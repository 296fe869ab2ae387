//! What the library costs where nobody waits, beside the floor of a cycle: in memory and on the target directory.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures the real file system")]
#![expect(missing_docs, reason = "criterion's macro makes a public function")]

#[path = "support/floor.rs"]
mod floor;

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use floor::{DirFloor, LinkFloor};
use linklock::{Builder, Error, Lock, Protocol};

/// Where to measure, and what to call it.
const PLACES: [(&str, &str); 2] = [("tmpfs", "/dev/shm"), ("disk", env!("CARGO_TARGET_TMPDIR"))];

fn in_all_places(mut bench: impl FnMut(&str, &str)) {
    for (place, parent) in PLACES {
        if Path::new(parent).is_dir() {
            let dir = tempfile::tempdir_in(parent).expect("a directory to measure in");
            bench(place, dir.path().to_str().expect("a path in UTF-8"));
        }
    }
}

fn build(lock: Builder) -> Lock {
    lock.build().expect("a lock path without the separator")
}

fn cycle(c: &mut Criterion) {
    in_all_places(|place, dir| {
        let mut group = c.benchmark_group(format!("cycle/{place}"));
        let mut link_floor = LinkFloor::new(&format!("{dir}/floor"));
        let mut link_floor = || link_floor.claim().and_then(|()| link_floor.give_back());
        group.bench_function("link floor", |b| b.iter(|| link_floor().expect("a cycle of the floor")));
        let mut dir_floor = DirFloor::new(&format!("{dir}/floor"));
        let mut dir_floor = || dir_floor.claim().and_then(|()| dir_floor.give_back());
        group.bench_function("dir floor", |b| b.iter(|| dir_floor().expect("a cycle of the floor")));
        for protocol in [Protocol::Link, Protocol::Dir] {
            let lock = build(Lock::builder(format!("{dir}/lock")).protocol(protocol));
            let cycle = || -> Result<(), Error> { Ok(lock.acquire()?.release()?) };
            let name = protocol.to_string();
            group.bench_function(name, |b| b.iter(|| cycle().expect("a lock that nobody else wants")));
        }
        group.finish();
    });
}

fn try_acquire_held(c: &mut Criterion) {
    in_all_places(|place, dir| {
        let lock = build(Lock::builder(format!("{dir}/lock")).keep_alive(true));
        let _guard = lock.acquire().expect("a lock that nobody else wants");
        c.bench_function(&format!("try_acquire_held/{place}"), |b| {
            b.iter(|| lock.try_acquire().expect("it can be tried").is_none());
        });
    });
}

fn is_lost(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory to measure in");
    let lock = build(Lock::builder(dir.path().join("lock")).keep_alive(true));
    let guard = lock.acquire().expect("a lock that nobody else wants");
    c.bench_function("is_lost", |b| b.iter(|| black_box(&guard).is_lost()));
}

criterion_group!(benches, cycle, try_acquire_held, is_lost);
criterion_main!(benches);
