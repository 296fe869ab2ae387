//! Whether a directory is fit for locks: what is known of its file system, and what it does when it is tried.
//!
//! Everything is done under names of its own in that directory, which are removed again.

#[allow(unreachable_pub, dead_code, reason = "the simulation uses all of it")]
pub(crate) mod conformance;
mod meeting;
mod report;
mod tools;
mod traits;
mod trial;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use meeting::{Meeting, meet};
pub use report::{Examination, Finding, Fit, Level};

use crate::env::Env;
use crate::env::os::OsEnv;
use crate::error::Error;
use crate::options::Protocol;
use crate::protocol::place::{ROOT, STICKY, WRITE_OTHERS};
use crate::wait::Cancel;
use tools::Workshop;

/// Examines a directory, which takes about ten seconds.
///
/// ```
/// use linklock::doctor::{Fit, examine};
///
/// # let dir = tempfile::tempdir().unwrap();
/// let examination = examine(&dir, linklock::SEPARATOR, &linklock::Cancel::new()?)?;
/// for finding in &examination.findings {
///     println!("{}: {}", finding.about, finding.text);
/// }
/// assert_ne!(examination.fit(linklock::Protocol::Dir), Fit::Unfit);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the directory is missing, or this user may not make files in it; cancelled.
pub fn examine(dir: impl AsRef<Path>, separator: char, cancel: &Cancel) -> Result<Examination, Error> {
    let mut examination = examine_in(Arc::new(OsEnv), dir.as_ref(), separator, cancel)?;
    examination.findings.push(conforms(dir.as_ref(), dir.as_ref())?);
    Ok(examination)
}

/// How far the file system, through one or two mounts of one directory, does what the protocols were proved with: each is asked
/// the questions that the simulation of the project's tests must answer in the same way. Another answer need not do harm.
///
/// # Errors
/// If the directory cannot be used.
pub fn conforms(dir: impl AsRef<Path>, again: impl AsRef<Path>) -> Result<Finding, Error> {
    if !is_ours_alone(&OsEnv, dir.as_ref()).map_err(|e| Error::io(dir.as_ref(), "look at it", e))? {
        // They make directories in directories, and remove whatever is in them.
        return Ok(report::finding("conformance", Level::Note, "not asked: others may change names in this directory"));
    }
    let (mut asked, mut differ) = (0, Vec::new());
    let told = conformance::on_real_directories(dir.as_ref(), again.as_ref(), conformance::scenarios(), |verdict| {
        asked += 1;
        differ.extend(verdict.difference.is_some().then(|| verdict.to_string()));
        Ok(())
    });
    told.map_err(|e| Error::io(dir.as_ref(), "ask for its conformance", e))?;
    Ok(match differ.as_slice() {
        [] => report::finding(
            "conformance",
            Level::Good,
            format!("{asked} of {asked} answers are as the proofs have them"),
        ),
        [first, ..] => report::finding(
            "conformance",
            Level::Note,
            format!(
                "{} of {asked} answers are as the proofs have them; the first that is not: {first}",
                asked - differ.len()
            ),
        ),
    })
}

/// Whether nobody else may rename or remove what this user makes there.
fn is_ours_alone(env: &dyn Env, dir: &Path) -> io::Result<bool> {
    let attr = env.stat_dir(dir)?;
    let is_owned = attr.owner == ROOT || env.user_id() == Some(attr.owner);
    Ok(is_owned && (attr.mode & WRITE_OTHERS == 0 || attr.mode & STICKY != 0))
}

pub(crate) fn examine_in(
    env: Arc<dyn Env>,
    dir: &Path,
    separator: char,
    cancel: &Cancel,
) -> Result<Examination, Error> {
    let workshop = Workshop::open(Arc::clone(&env), dir, cancel)?;
    let mut findings = traits::known(env.as_ref(), dir);
    findings.extend(traits::tried(&workshop));
    workshop.check_cancelled()?;
    let (names, separator) = traits::separator(&workshop, separator);
    findings.extend(names);
    if let Some(separator) = separator {
        for protocol in [Protocol::Link, Protocol::Dir] {
            // Locks take seconds. Where the file system lacks what they need, they show nothing new.
            if report::fit(&findings, protocol) != Fit::Unfit {
                findings.extend(trial::trial(&workshop, protocol, separator)?);
            }
        }
    }
    Ok(Examination {
        directory: dir.to_owned(),
        kind: env.file_system(dir).map(|known| known.name),
        mount: env.mount(dir),
        separator: separator.unwrap_or(crate::SEPARATOR),
        advice: env.file_system(dir).map(|known| known.advice).filter(|advice| !advice.is_empty()),
        findings,
    })
}
