//! Tests of the safety steps. Each test puts a fault or a rival exactly where one step is. Without that step, the test
//! fails.

mod acquiring;
mod adopting;
#[cfg(feature = "tokio")]
mod asynchronous;
#[cfg(unix)] // Elsewhere there are no bells.
mod bell;
mod bounds;
mod breaking;
mod clocks;
mod corpus;
#[cfg(target_os = "linux")] // A waiter is woken through descriptors here alone.
mod descriptors;
#[cfg(all(unix, feature = "doctor"))]
mod doctor;
#[cfg(unix)] // Windows has no shared locks.
mod downgrading;
mod errors;
mod faults;
mod fencing;
mod file_systems;
mod holding;
mod identifying;
#[cfg(unix)] // Its paths are.
mod in_memory;
mod keeping;
mod leftovers;
mod lining_up;
#[cfg(any(target_os = "linux", windows))] // Elsewhere a waiter polls.
mod neighbours;
mod plain;
mod private;
mod promises;
mod several;
#[cfg(unix)] // Windows has no shared locks.
mod sharing;
mod shown;
mod slots;
#[cfg(unix)] // Only here a rename replaces an empty directory.
mod staying;
#[cfg(unix)] // Elsewhere a directory has no mark, and there are no bells.
mod surveying;
mod waking;
