//! Locks that are kept alive in the background.

use std::fs;
use std::time::Duration;

use linklock::{ErrorKind, Guard, Protocol, State, Which};

use crate::common::{BOTH, Ground};
use crate::settings::Settings;

/// The threads of this process that keep locks.
#[cfg(target_os = "linux")] // Elsewhere threads are not listed in /proc.
fn keepers() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    // A thread of another test may have ended meanwhile.
    let names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default());
    names.filter(|name| name.starts_with("linklock")).count()
}

#[test]
fn many_locks_are_kept_alive_by_one_thread() {
    let ground = Ground::new();
    // Under Wine, which looks for names in any case, each takes the longer the more there are.
    let (many, lifetime) = if cfg!(windows) { (20, 10) } else { (1000, 2) };
    let lifetime = Duration::from_secs(lifetime);
    let settings = |i: usize| {
        Settings::new(&ground.dir().join(format!("lock{i}")), BOTH[i % 2]).lifetime(lifetime).keep_alive(true)
    };
    let guards: Vec<Guard> = (0..many).map(|i| settings(i).lock().acquire().unwrap()).collect();
    #[cfg(target_os = "linux")]
    assert_eq!(keepers(), 1, "threads that keep them");
    std::thread::sleep(3 * lifetime);
    for (i, guard) in guards.iter().enumerate() {
        guard.check().unwrap_or_else(|e| panic!("lock {i}: {e}"));
        assert_eq!(settings(i).lock().inspect().unwrap().state, State::Held, "lock {i}, as others see it");
    }
    #[cfg(target_os = "linux")]
    assert_eq!(keepers(), 1, "after three lifetimes");
    for guard in guards {
        guard.release().unwrap();
    }
    assert_eq!(ground.names(), [""; 0]);
}

/// How a lock can go from under its holder.
#[derive(Clone, Copy, Debug)]
enum End {
    BrokenByOperator,
    FileRemoved,
    LockPathRemoved,
}

fn end(how: End, settings: &Settings, guard: &Guard) {
    let (path, name) = (&settings.path, guard.token().as_os_str());
    match (how, settings.protocol) {
        (End::BrokenByOperator, _) => {
            let broken = settings.lock().break_lock(&Which::Claim(guard.token().clone())).unwrap();
            assert_eq!(&broken.unwrap().holder.unwrap().token, guard.token());
        }
        (End::FileRemoved, Protocol::Dir) => fs::remove_file(path.join(name)).unwrap(),
        (End::FileRemoved, _) => fs::remove_file(path.with_file_name(name)).unwrap(),
        (End::LockPathRemoved, Protocol::Dir) => fs::remove_dir_all(path).unwrap(),
        (End::LockPathRemoved, _) => fs::remove_file(path).unwrap(),
    }
}

#[test]
fn a_kept_lock_that_was_broken_or_removed_is_told_to_be_lost_before_its_deadline() {
    let mut lost = Vec::new();
    for protocol in BOTH {
        for how in [End::BrokenByOperator, End::FileRemoved, End::LockPathRemoved] {
            let ground = Ground::new();
            let settings = Settings::new(&ground.lock(), protocol).lifetime(Duration::from_secs(6)).keep_alive(true);
            let guard = settings.lock().acquire().unwrap();
            end(how, &settings, &guard);
            lost.push((format!("{protocol}, {how:?}"), guard, ground));
        }
    }
    for (how, guard, _ground) in lost {
        // Shorter than the time for which it would be trusted without any further news.
        let before_deadline = guard.remaining().mul_f32(0.9);
        assert_eq!(guard.loss().wait_timeout(before_deadline), Some(true), "{how}: noticed in time");
        assert!(guard.is_lost(), "{how}");
        assert_eq!(guard.refresh().unwrap_err().kind(), ErrorKind::Lost, "{how}: a lost lock is not revived");
        let error = guard.release().unwrap_err().into_parts().0;
        assert_eq!(error.kind(), ErrorKind::Lost, "{how}");
        assert!(error.to_string().contains("broken"), "{how}: {error}");
    }
}

#[test]
fn a_released_lock_is_not_told_to_be_lost() {
    for protocol in BOTH {
        for keep_alive in [false, true] {
            let ground = Ground::new();
            let settings = Settings::new(&ground.lock(), protocol).lifetime(Duration::from_secs(2));
            let guard = settings.keep_alive(keep_alive).lock().acquire().unwrap();
            let loss = guard.loss();
            let waiting = std::thread::spawn({
                let loss = loss.clone();
                move || loss.wait()
            });
            guard.release().unwrap();
            assert!(!waiting.join().unwrap(), "{protocol}: who waits for a loss is told of the release");
            std::thread::sleep(Duration::from_millis(2100));
            assert!(!loss.is_lost(), "{protocol}: nor is it lost once the lifetime would be over");
        }
    }
}

#[test]
fn a_lock_that_is_not_kept_alive_is_told_to_be_lost_at_its_deadline() {
    for protocol in BOTH {
        let ground = Ground::new();
        let guard =
            Settings::new(&ground.lock(), protocol).lifetime(Duration::from_millis(100)).lock().acquire().unwrap();
        assert!(guard.loss().wait(), "{protocol}");
        assert_eq!((guard.is_lost(), guard.remaining()), (true, Duration::ZERO), "{protocol}");
        assert_eq!(guard.check().unwrap_err().kind(), ErrorKind::Lost, "{protocol}");
        assert_eq!(guard.refresh().unwrap_err().kind(), ErrorKind::Lost, "{protocol}: no revival");
    }
}
