//! The journal's file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use linklock::Printable;

use super::line::BEGIN;
use crate::os::{has_other_names, is_link, is_no_file, open_to_append};

/// Appends lines. Each is one write: on a local file system, lines of several processes do not mix.
#[derive(Debug)]
pub(crate) struct Appender {
    file: File,
    /// Whether the file ends with a part of a line, which a full disk or a crash has left.
    is_torn: bool,
}

impl Appender {
    /// Opens the journal, or makes it. Other users may have put something there: no link is followed, and a file is left alone unless
    /// it is a journal or empty.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let mut opened = open_to_append(path, false);
        if is_missing(&opened) {
            opened = open_to_append(path, true);
        }
        // Another linklock has just made it.
        if opened.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AlreadyExists) {
            opened = open_to_append(path, false);
        }
        opened
            .map_err(|e| why_not(&e))
            .and_then(Self::of)
            .map_err(|why| format!("{}: cannot write the journal: {why}", Printable::new(path)))
    }

    fn of(mut file: File) -> Result<Self, String> {
        let data = file.metadata().map_err(|e| e.to_string())?;
        if is_no_file(&data) {
            return Err("it is not a file; choose another path".into());
        }
        if has_other_names(&data) {
            return Err("the file has a second name (a hard link), so it may be another file than you think; choose another path".into());
        }
        let is_torn = if data.is_file() { is_torn(&mut file).map_err(|e| e.to_string())? } else { Some(false) };
        let is_torn = is_torn.ok_or("there is a file that is not a journal of linklock; choose another path")?;
        Ok(Self { file, is_torn })
    }

    pub(crate) fn append(&mut self, line: &str) -> io::Result<()> {
        let text = if self.is_torn { format!("\n{line}\n") } else { format!("{line}\n") };
        let written = loop {
            match self.file.write(text.as_bytes()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                written => break written?,
            }
        };
        self.is_torn = if written == 0 { self.is_torn } else { written < text.len() };
        if written < text.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

fn is_missing(opened: &io::Result<File>) -> bool {
    opened.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

fn why_not(e: &io::Error) -> String {
    if is_link(e) { "it is a symbolic link; name the file itself".into() } else { e.to_string() }
}

/// `None` if the file is not a journal. A line that another process is just writing may seem to be cut: then an empty line follows it,
/// which does no harm.
fn is_torn(file: &mut File) -> io::Result<Option<bool>> {
    let mut begin = Vec::new();
    file.take(BEGIN.len() as u64).read_to_end(&mut begin)?;
    if begin.is_empty() {
        return Ok(Some(false));
    }
    // A full disk may have cut the very first line.
    if !BEGIN.as_bytes().starts_with(&begin) {
        return Ok(None);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut end = [0];
    file.read_exact(&mut end)?;
    Ok(Some(end != *b"\n"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_line_never_continues_another_that_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        for (found, becomes) in [("", "x\n"), ("{\"version\":1}\n", "{\"version\":1}\nx\n"), ("{\"ver", "{\"ver\nx\n")]
        {
            fs::write(&path, found).unwrap();
            let mut appender = Appender::open(&path).unwrap();
            appender.append("x").unwrap();
            appender.append("y").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{becomes}y\n"));
        }
    }

    /// Each has opened the file for itself, as processes have. With Wine, one of the 800 lines was lost.
    #[test]
    #[cfg(unix)]
    fn lines_of_several_writers_do_not_mix() {
        const LINES: usize = 200;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let line = |writer: usize| format!("{BEGIN}{}", writer.to_string().repeat(5000));
        std::thread::scope(|scope| {
            for writer in 1..=4 {
                let mut appender = Appender::open(&path).unwrap();
                scope.spawn(move || (0..LINES).for_each(|_| appender.append(&line(writer)).unwrap()));
            }
        });
        let text = fs::read_to_string(&path).unwrap();
        for writer in 1..=4 {
            assert_eq!(text.lines().filter(|found| *found == line(writer)).count(), LINES);
        }
        // See `is_torn`.
        assert_eq!(text.lines().filter(|found| !found.is_empty()).count(), 4 * LINES);
    }

    #[test]
    fn a_file_that_is_not_a_journal_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fstab");
        for content in ["# a table\n", "\n", "{\"version\" :1}\n", "{}"] {
            fs::write(&path, content).unwrap();
            let why = Appender::open(&path).unwrap_err();
            assert!(why.contains("not a journal"), "{why}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert!(Appender::open(dir.path()).is_err(), "a directory");
        assert!(Appender::open(&dir.path().join("missing/journal")).unwrap_err().contains("cannot write the journal"));
    }
}
