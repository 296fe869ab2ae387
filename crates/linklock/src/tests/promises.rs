//! The auto traits of the public API's types, which are part of that API.

use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::{
    About, Builder, Cancel, Error, Guard, Holder, Leftover, Lock, Loss, Owner, Protocol, ReleaseError, Status, Token,
    Wait, Which,
};

#[test]
fn all_types_can_be_sent_to_and_shared_by_threads() {
    fn holds<T: Send + Sync + 'static>() {}
    holds::<(Lock, Builder, Guard, Loss, ReleaseError, Error)>();
    holds::<(Wait, Cancel, Status, Holder, About, Owner, Leftover, Token, Protocol, Which)>();
}

/// A panic between two calls leaves no half-done state: a call changes what is known of a lock at its end.
#[test]
fn a_guard_may_be_used_after_a_caught_panic() {
    fn holds<T: UnwindSafe + RefUnwindSafe>() {}
    holds::<(Lock, Builder, Guard, Loss, Cancel)>();
    holds::<(Status, Holder, Token, Protocol, Which)>();
}
