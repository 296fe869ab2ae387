//! What must hold, one property a file.

pub(crate) mod at_most;
pub(crate) mod expired;
pub(crate) mod fencing;
pub(crate) mod given_up;
pub(crate) mod history;
pub(crate) mod leftovers;
pub(crate) mod live_claim;
pub(crate) mod one_holder;
pub(crate) mod stuck;
