//! What the doctor says of file systems that lack something.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::faults::{Arena, BOTH, FaultyEnv};
use super::plain::Plain;
use crate::doctor::{Examination, Finding, Fit, Level, Meeting, examine_in, meet};
use crate::options::Protocol;
use crate::{Cancel, ErrorKind, SEPARATOR};

fn examined(make: impl FnOnce(&FaultyEnv)) -> Examination {
    let arena = Arena::new();
    make(&arena.env);
    let cancel = Cancel::new().unwrap();
    let found = examine_in(arena.env.clone(), arena.path().parent().unwrap(), SEPARATOR, &cancel).unwrap();
    assert_eq!(arena.names(), [""; 0], "it removes what it made");
    found
}

fn fits(found: &Examination) -> [Fit; 2] {
    BOTH.map(|protocol| found.fit(protocol))
}

#[test]
fn a_sound_file_system_is_fit_for_both() {
    let found = examined(|_| {});
    assert_eq!((fits(&found), found.advised()), ([Fit::Fit; 2], Some(Protocol::Dir)), "{:#?}", found.findings);
    for about in ["hard links", "rename", "times", "sticky bit", "names", "exclusion", "expiry", "speed"] {
        assert!(found.findings.iter().any(|finding| finding.about == about), "{about}");
    }
}

#[test]
fn where_a_free_lock_is_an_empty_directory_the_doctor_removes_it_and_does_not_report_it() {
    let found = examined(|env| {
        env.removes_by_name_alone.store(true, Ordering::SeqCst);
        *env.kind.lock().unwrap() = Some("NFS");
    });
    assert_eq!(fits(&found), [Fit::Fit; 2], "{:#?}", found.findings);
    assert!(!found.findings.iter().any(|finding| finding.about == "leftovers"), "{:#?}", found.findings);
}

#[test]
fn what_a_protocol_needs_and_does_not_get_makes_it_unfit() {
    type Case = (fn(&FaultyEnv), [Fit; 2]);
    let cases: [Case; 6] = [
        (|env| env.has_a_number_for_each_name.store(true, Ordering::SeqCst), [Fit::Unfit, Fit::Fit]),
        (|env| env.only_says_that_it_sets_times.store(true, Ordering::SeqCst), [Fit::Unfit; 2]),
        (|env| env.ignores_times.store(true, Ordering::SeqCst), [Fit::Unfit; 2]),
        (|env| env.keeps_no_sticky_bit.store(true, Ordering::SeqCst), [Fit::Fit; 2]),
        (|env| *env.kind.lock().unwrap() = Some("mergerfs"), [Fit::Unfit; 2]),
        (|env| *env.kind.lock().unwrap() = Some("virtiofs"), [Fit::WithWarnings; 2]),
    ];
    for (number, (make, fit)) in cases.into_iter().enumerate() {
        let found = examined(make);
        assert_eq!(fits(&found), fit, "case {number}: {:#?}", found.findings);
        let advised = if fit[1] == Fit::Unfit {
            Some(Protocol::Link).filter(|_| fit[0] != Fit::Unfit)
        } else {
            Some(Protocol::Dir)
        };
        assert_eq!(found.advised(), advised, "case {number}");
    }
}

#[test]
fn a_cancelled_examination_leaves_nothing() {
    let arena = Arena::new();
    let cancel = Cancel::new().unwrap();
    cancel.cancel();
    let e = examine_in(arena.env.clone(), arena.path().parent().unwrap(), SEPARATOR, &cancel).unwrap_err();
    assert_eq!((e.kind(), arena.names()), (ErrorKind::Cancelled, vec![]));
}

/// Both sides' findings.
fn met(separators: [char; 2]) -> [Vec<Finding>; 2] {
    let dir = tempfile::tempdir().unwrap();
    let meeting = |names: [&str; 2], separator| {
        let meeting = Meeting::of(names[0], names[1]).contend_for(Duration::from_millis(300));
        (meeting.separator(separator).patience(Duration::from_secs(60)), Cancel::new().unwrap())
    };
    let [(one, cancel), (other, others_cancel)] =
        [meeting(["a", "b"], separators[0]), meeting(["b", "a"], separators[1])];
    let findings = thread::scope(|scope| {
        let other = scope.spawn(|| meet(&dir, &other, &others_cancel).unwrap());
        [meet(&dir, &one, &cancel).unwrap(), other.join().unwrap()]
    });
    assert_eq!(Arena { dir, env: FaultyEnv::new() }.names(), [""; 0], "they remove what they made");
    findings
}

#[test]
fn two_doctors_meet_and_count_the_same() {
    let [one, other] = met([SEPARATOR; 2]);
    assert_eq!(one.len(), other.len());
    for findings in [one, other] {
        assert!(findings.iter().all(|finding| finding.level <= Level::Note), "{findings:#?}");
        let contended: Vec<_> = findings.iter().filter(|finding| finding.about == "contention").collect();
        assert_eq!(contended.len(), 2);
        assert!(
            contended.iter().all(|finding| finding.text.ends_with("0 overlaps") && !finding.text.starts_with("0 "))
        );
    }
}

#[test]
fn two_doctors_that_do_not_see_each_others_locks_say_so() {
    for findings in met(['|', '^']) {
        let faults: Vec<_> = findings.iter().filter(|finding| finding.level == Level::Fault).map(|f| f.about).collect();
        assert!(faults.contains(&"sight"), "{findings:#?}");
    }
}

/// What the other side writes is anybody's.
#[test]
fn a_greeting_that_is_no_number_is_none() {
    let arena = Arena::new();
    let inner = arena.dir.path().join("inner");
    Plain.mkdir(&inner).unwrap();
    Plain.create(&inner.join("linklock-doctor.hello.b+a"), b"0/../../outside").unwrap();
    Plain.mkdir(&inner.join("linklock-doctor.0")).unwrap();
    let meeting = Meeting::of("a", "b").patience(Duration::from_millis(200));
    meet(&inner, &meeting, &Cancel::new().unwrap()).unwrap_err();
    assert_eq!(arena.names(), ["inner"], "nothing was made elsewhere");
}

#[test]
fn a_doctor_that_nobody_meets_says_so_and_leaves_nothing() {
    let arena = Arena::new();
    let meeting = Meeting::of("a", "b").patience(Duration::from_millis(100));
    let e = meet(&arena.dir, &meeting, &Cancel::new().unwrap()).unwrap_err();
    assert!(e.to_string().contains("nothing was heard of b"), "{e}");
    assert_eq!(arena.names(), [""; 0]);
    let e = meet(&arena.dir, &Meeting::of("a", "a"), &Cancel::new().unwrap()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
}
