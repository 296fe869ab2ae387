//! The format of the program's journal.

files! { "../../linklock-cli/src/journal/line.rs" line }
