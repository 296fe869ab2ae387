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
    render_after_help(&command, "SH", &mut page)?;
    Ok(page)
}

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
    render_after_help(command, "SS", page)
}

/// A line of capitals becomes a heading. The other lines keep their layout.
fn render_after_help(command: &Command, heading: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
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
