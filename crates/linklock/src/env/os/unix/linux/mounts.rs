//! What can be known of the file system that a path is on.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, StatxFlags, major, makedev, minor};

use super::fs_read;

const NFS: u64 = 0x6969;

/// Whether other machines change it too; `None` if that cannot be known.
pub(super) fn is_shared(dir: &Path) -> Option<bool> {
    Some(!is_local_magic(magic(dir)?))
}

/// NFS 4 has one request for the removal of files and of directories, NFS 3 has two.
///
/// Each release of a dir lock asks, so it must cost little: one call on a disk, and on NFS no request to the server but the
/// first time.
pub(in super::super) fn removes_by_name_alone(dir: &Path) -> bool {
    // Its number was NFS's when it was last seen; the list of mounts then says what it is now.
    static LAST_NFS: AtomicU64 = AtomicU64::new(u64::MAX);
    let Some(device) = device(dir) else { return true };
    // A block device's.
    if major(device) != 0 {
        return false;
    }
    if LAST_NFS.load(Ordering::Relaxed) != device {
        match magic(dir) {
            Some(NFS) => LAST_NFS.store(device, Ordering::Relaxed),
            magic => return magic.is_none(),
        }
    }
    fs_read("/proc/self/mountinfo").is_none_or(|mounts| may_be_nfs4(&mounts, device))
}

/// The number of its file system, from what this machine knows: it does not change.
fn device(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statx(CWD, dir, AtFlags::STATX_DONT_SYNC, StatxFlags::empty()).ok()?;
    Some(makedev(stat.stx_dev_major, stat.stx_dev_minor))
}

fn magic(dir: &Path) -> Option<u64> {
    rustix::fs::statfs(dir).ok().map(|stat| stat.f_type as u64 & 0xffff_ffff)
}

/// Finds a device in the list of mounts, see proc_pid_mountinfo(5).
fn may_be_nfs4(mounts: &[u8], device: u64) -> bool {
    let device = format!("{}:{}", major(device), minor(device));
    let mounts = String::from_utf8_lossy(mounts);
    let Some(mount) = mounts.lines().find(|mount| mount.split(' ').nth(2) == Some(&device)) else { return true };
    // Behind the lone hyphen: type, source, options of the file system.
    let mut words = mount.split_once(" - ").map(|(_, rest)| rest.split(' ')).into_iter().flatten();
    match (words.next(), words.nth(1)) {
        (Some("nfs"), Some(options)) => !options.split(',').any(|option| option == "vers=3"),
        (kind, _) => kind.is_none_or(|kind| kind.starts_with("nfs")),
    }
}

/// File systems that only this machine changes, by the magic numbers of statfs(2) and of their own sources. One that is not
/// named here counts as shared: its waiters poll more often.
fn is_local_magic(magic: u64) -> bool {
    const EXT: u64 = 0xef53;
    const XFS: u64 = 0x5846_5342;
    const BTRFS: u64 = 0x9123_683e;
    const ZFS: u64 = 0x2fc1_2fc1;
    const F2FS: u64 = 0xf2f5_2010;
    const BCACHEFS: u64 = 0xca45_1a4e;
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    const OVERLAYFS: u64 = 0x794c_7630;
    const FAT: u64 = 0x4d44;
    const EXFAT: u64 = 0x2011_bab0;
    [EXT, XFS, BTRFS, ZFS, F2FS, BCACHEFS, TMPFS, RAMFS, OVERLAYFS, FAT, EXFAT].contains(&magic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_an_nfs_mount_is_known_from_the_list_of_mounts() {
        let mounts = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            30 22 0:53 / /mnt/a rw,relatime shared:7 - nfs srv:/a rw,vers=3,rsize=1048576,hard\n\
            31 22 0:54 / /mnt/b rw,relatime - nfs4 srv:/b rw,vers=4.2,rsize=1048576,hard\n";
        assert!(!may_be_nfs4(mounts, makedev(0, 53)));
        assert!(may_be_nfs4(mounts, makedev(0, 54)));
        assert!(!may_be_nfs4(mounts, makedev(8, 1)), "its number was NFS's before");
        assert!(may_be_nfs4(mounts, makedev(0, 55)), "not known: the careful answer");
    }

    #[test]
    fn memory_is_this_machines_own_and_what_has_no_name_here_is_shared() {
        assert_eq!(is_shared(Path::new("/dev/shm")), Some(false));
        assert_eq!(is_shared(Path::new("/proc")), Some(true), "not named: the careful answer");
    }

    #[test]
    fn a_local_file_system_does_not_remove_by_name_alone() {
        assert!(!removes_by_name_alone(Path::new("/proc")));
        assert!(removes_by_name_alone(Path::new("/there is no such directory")), "not known: the careful answer");
    }
}
