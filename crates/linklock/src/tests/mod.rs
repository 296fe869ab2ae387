//! Tests of the safety steps, each against a fault or a rival put exactly where the step is. Take the step out, and the
//! test fails.

mod acquiring;
#[cfg(feature = "tokio")]
mod asynchronous;
mod bounds;
mod breaking;
mod clocks;
#[cfg(target_os = "linux")] // Descriptors are what it wakes by.
mod descriptors;
mod errors;
mod faults;
mod fencing;
mod holding;
mod identifying;
mod keeping;
mod leftovers;
#[cfg(any(target_os = "linux", windows))] // Elsewhere a waiter polls.
mod neighbours;
mod plain;
mod private;
mod promises;
mod waking;
