//! The program, run as its users run it.

mod disk;
mod documentation;
mod exit_statuses;
mod losses;
mod running;
mod scripts;
mod signals;
mod status;
mod support;
mod terminal;
