//! Names in the system's lists of records. Each record says where the next one begins.

use std::ffi::OsString;
use std::os::windows::ffi::OsStringExt;

/// Aligned as all such records must be.
pub(super) type Buffer = [u64; 1024];
pub(super) const EMPTY: Buffer = [0; 1024];

/// Where a record has the length of its name in bytes, and where the name begins; both in units of 16 bits.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    len: usize,
    name: usize,
}

/// FILE_NOTIFY_INFORMATION.
pub(super) const CHANGES: Layout = Layout { len: 4, name: 6 };
/// FILE_ID_BOTH_DIR_INFO.
pub(super) const ENTRIES: Layout = Layout { len: 30, name: 52 };

pub(super) fn names(buffer: &[u64], layout: Layout) -> Vec<OsString> {
    let units: Vec<u16> = buffer.iter().flat_map(|word| [0, 16, 32, 48].map(|shift| (word >> shift) as u16)).collect();
    let word = |at: usize| Some(usize::from(*units.get(at)?) | usize::from(*units.get(at + 1)?) << 16);
    let mut names = Vec::new();
    let mut next = Some(0);
    while let Some(at) = next {
        let name = word(at + layout.len).and_then(|len| units.get(at + layout.name..)?.get(..len / 2));
        names.extend(name.map(OsString::from_wide));
        next = word(at).filter(|step| *step > 0).map(|step| at + step / 2);
    }
    names
}

/// Units as such records have them in memory, padded with zeros.
pub(super) fn packed(units: &[u16]) -> Vec<u64> {
    let word = |units: &[u16]| units.iter().rev().fold(0, |word, unit| word << 16 | u64::from(*unit));
    units.chunks(4).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of a change.
    fn record(next: u16, name: &str) -> Vec<u16> {
        let mut record = vec![next, 0, 1, 0, name.len() as u16 * 2, 0];
        record.extend(name.encode_utf16());
        record
    }

    #[test]
    fn the_names_in_all_records_are_found() {
        let units = [record(20, "lock"), record(0, "other"), vec![9; 7]].concat();
        assert_eq!(names(&packed(&units), CHANGES), ["lock", "other"]);
    }

    #[test]
    fn a_record_that_is_cut_off_has_no_name() {
        assert_eq!(names(&packed(&record(0, "lock")[..8]), CHANGES), [""; 0]);
        assert_eq!(names(&[], CHANGES), [""; 0]);
    }
}
