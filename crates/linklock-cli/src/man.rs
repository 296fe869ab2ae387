//! The man page, from the same definitions as the help.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// One page for the whole program, with a section for each subcommand.
pub(crate) fn page(command: Command) -> io::Result<Vec<u8>> {
    // A built subcommand knows its full name and the global options. Without the flags for help and version, which need no
    // explanation in each section.
    let mut command = command.disable_help_flag(true).disable_version_flag(true);
    command.build();
    let man = Man::new(command.clone()).manual("linklock");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for subcommand in command.get_subcommands() {
        render_subcommand(subcommand, &mut page)?;
    }
    render_sections(&command.get_after_help().map(ToString::to_string).unwrap_or_default(), "SH", &mut page)?;
    render_sections(FURTHER, "SH", &mut page)?;
    Ok(page)
}

/// What the help has no room for. On Windows the separator is another one, but then there is no man page.
const FURTHER: &str = "\
FILES
  linklock creates these files beside LOCKPATH, and removes all but the counter of --fence:

  LOCKPATH                   the lock, while it is held: a file (link), or a directory with
                             one file (dir)
  LOCKPATH|HOST|PID|NONCE    a claim: the attempt of one contender to hold the lock. Its name
                             is the token. A contender that was killed leaves it behind;
                             clean removes it, and so does every break of the lock
  LOCKPATH|break             a short lock by which contenders take turns to break the lock
  LOCKPATH|queue             a directory with a ticket for each contender that waits (--queue)
  LOCKPATH|bell              a symbolic link that names a contender which waits, on a shared
                             file system; with --wake udp also where it listens
  LOCKPATH|fence             a directory that counts fencing tokens (--fence). It may be
                             removed once no lock and no resource uses the tokens any more

SEE ALSO
  flock(1), lockfile-create(1), link(2), rename(2), flock(2), nfs(5), crontab(5)";

fn render_subcommand(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_uppercase();
    let mut heading = Roff::new();
    heading.control("SH", [name.as_str()]);
    heading.to_writer(page)?;
    let own = command.clone().mut_args(|arg| {
        let is_global = arg.is_global_set();
        arg.hide(is_global)
    });
    let man = Man::new(own);
    let mut parts = Vec::new();
    man.render_synopsis_section(&mut parts)?;
    man.render_description_section(&mut parts)?;
    man.render_options_section(&mut parts)?;
    // Here a section is a part of the subcommand's section.
    for line in String::from_utf8_lossy(&parts).lines() {
        let line = if let Some(heading) = line.strip_prefix(".SH ") { format!(".SS {heading}") } else { line.into() };
        page.extend(line.bytes().chain([b'\n']));
    }
    render_sections(&command.get_after_help().map(ToString::to_string).unwrap_or_default(), "SS", page)
}

/// A line of capitals becomes a heading. The other lines keep their layout.
fn render_sections(text: &str, heading: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    let mut open = false;
    for line in text.lines() {
        if !line.is_empty() && line.chars().all(|c| c.is_ascii_uppercase() || c == ' ') {
            if open {
                roff.control("fi", []);
            }
            roff.control(heading, [line]).control("nf", []);
            open = true;
        } else if let Some(example) = line.strip_prefix("    ") {
            roff.text([roman("    "), bold(example)]);
        } else {
            roff.text([roman(line)]);
        }
    }
    if open {
        roff.control("fi", []);
    }
    roff.to_writer(page)
}
