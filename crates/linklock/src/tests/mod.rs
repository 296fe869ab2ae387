//! Tests of the safety steps, each against a fault or a rival put exactly where the step is. Take the step out, and the
//! test fails.

mod acquiring;
mod breaking;
mod errors;
mod faults;
mod fencing;
mod holding;
mod keeping;
