//! What the types of the public API can be used for, which is a part of it.

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

/// A panic between two calls leaves nothing half done: what is known of a lock is set at the end of a call.
#[test]
fn what_holds_a_lock_may_be_used_after_a_panic_was_caught() {
    fn holds<T: UnwindSafe + RefUnwindSafe>() {}
    holds::<(Lock, Builder, Guard, Loss, Cancel)>();
    holds::<(Status, Holder, Token, Protocol, Which)>();
}
