//! What can be known of the file system that a path is on.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, StatxFlags, major, makedev, minor};

use super::fs_read;
use crate::env::Stamps;

const NFS: u64 = 0x6969;
const BEEGFS: u64 = 0x1983_0326;
const FUSE: u64 = 0x6573_5546;

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

/// Where one clock stamps all files. It is a list of what is known, each with its evidence; GlusterFS, CephFS, Lustre, JuiceFS
/// and SMB have been shown, or say in their sources, that a client's own clock stamps what it changes.
pub(in super::super) fn stamps(dir: &Path) -> Stamps {
    let of_one_clock = match magic(dir) {
        // The server's kernel: shown with its clock an hour off, on versions 3 to 4.2. BeeGFS: one metadata server for each
        // directory, by its documents.
        Some(NFS | BEEGFS) => true,
        // Its master's: measured.
        Some(FUSE) => kind_of_mount(dir).is_some_and(|kind| kind == "fuse.mfs"),
        // The kernel of this machine stamps what nobody else changes.
        Some(magic) => is_local_magic(magic),
        None => false,
    };
    if of_one_clock { Stamps::Server } else { Stamps::NotKnown }
}

fn kind_of_mount(dir: &Path) -> Option<String> {
    let mounts = fs_read("/proc/self/mountinfo")?;
    let mounts = String::from_utf8_lossy(&mounts);
    words_of_mount(&mounts, device(dir)?).next().map(str::to_owned)
}

/// What the list of mounts says of a device's file system: its type, source and options. See proc_pid_mountinfo(5).
fn words_of_mount(mounts: &str, device: u64) -> impl Iterator<Item = &str> {
    let device = format!("{}:{}", major(device), minor(device));
    let mount = mounts.lines().find(move |mount| mount.split(' ').nth(2) == Some(&device));
    // They stand behind the lone hyphen.
    mount.and_then(|mount| mount.split_once(" - ")).map(|(_, rest)| rest.split(' ')).into_iter().flatten()
}

fn magic(dir: &Path) -> Option<u64> {
    rustix::fs::statfs(dir).ok().map(|stat| stat.f_type as u64 & 0xffff_ffff)
}

fn may_be_nfs4(mounts: &[u8], device: u64) -> bool {
    let mounts = String::from_utf8_lossy(mounts);
    let mut words = words_of_mount(&mounts, device);
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
    fn one_clock_stamps_the_files_of_this_machines_own_file_systems_and_of_those_on_the_list() {
        assert_eq!(stamps(Path::new("/dev/shm")), Stamps::Server);
        assert_eq!(stamps(Path::new("/proc")), Stamps::NotKnown, "not named: the careful answer");
        assert_eq!(stamps(Path::new("/there is no such directory")), Stamps::NotKnown);
        let mounts = "40 22 0:60 / /mnt/m rw,nosuid - fuse.mfs mfs#srv:9421 rw\n";
        assert_eq!(words_of_mount(mounts, makedev(0, 60)).next(), Some("fuse.mfs"));
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
