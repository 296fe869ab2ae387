//! What linklock can know about the file system of a path.

use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, StatxFlags, major, makedev, minor};

use super::super::content::fs_read;
use crate::file_system::{FileSystem, Mount, Stamps};

const NFS: u64 = 0x6969;

/// The kind of a directory's file system, if it is a known one. Asks no server: where there is no disk, the list of mounts is read,
/// which takes some 50 microseconds.
pub(crate) fn file_system(dir: &Path) -> Option<&'static FileSystem> {
    let device = device(dir)?;
    if major(device) != 0 {
        // A block device is a disk's: its number tells, or it is FUSE's.
        let magic = magic(dir)?;
        return FileSystem::find(magic, None).or_else(|| FileSystem::find(magic, Some(&listed(device)?)));
    }
    // 9p shows the number of its server's file system.
    let listed = listed(device);
    let is_nfs = listed.as_ref().is_some_and(|[kind, ..]| kind.starts_with("nfs"));
    FileSystem::find(if is_nfs { NFS } else { magic(dir)? }, listed.as_ref())
}

/// Whether other machines change it too. `None` if that is not known.
pub(crate) fn is_shared(dir: &Path) -> Option<bool> {
    device(dir)?;
    Some(!file_system(dir).is_some_and(|known| known.is_local))
}

/// Whether one clock stamps all files.
pub(crate) fn stamps(dir: &Path) -> Stamps {
    file_system(dir).map_or(Stamps::NotKnown, |known| known.stamps)
}

/// How to read a file so that no read delegation stays with this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    AsUsual,
    /// With O_DIRECT.
    Direct,
    /// Every open could leave a delegation.
    NotAtAll,
}

/// How to read files in `dir`, which is on this device. NFS 4 servers give delegations. From NFS 4.1 on, a client can
/// say that it wants none.
///
/// Called for each look at a lock, so it must be cheap: no system call on a disk, otherwise one, and on NFS a request
/// to the server only the first time.
pub(crate) fn reading(dir: &Path, device: u64) -> Reading {
    match nfs(dir, device) {
        Nfs::No | Nfs::V3 => Reading::AsUsual,
        Nfs::V41OrLater => Reading::Direct,
        Nfs::V40 | Nfs::NotKnown => Reading::NotAtAll,
    }
}

/// NFS 4 has one request for removing files and directories; NFS 3 has two.
///
/// Called for each release of a dir lock, so it must be cheap: one system call on a disk, and on NFS a request to the
/// server only the first time.
pub(crate) fn removes_by_name_alone(dir: &Path) -> bool {
    device(dir).is_none_or(|device| !matches!(nfs(dir, device), Nfs::No | Nfs::V3))
}

/// Whether a file system is NFS, and of which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nfs {
    No,
    V3,
    V40,
    V41OrLater,
    /// It may not be NFS at all.
    NotKnown,
}

fn nfs(dir: &Path, device: u64) -> Nfs {
    // The device that was NFS when it was last asked. The list of mounts then says what it is now.
    static LAST_NFS: AtomicU64 = AtomicU64::new(u64::MAX);
    // A block device.
    if major(device) != 0 {
        return Nfs::No;
    }
    if LAST_NFS.load(Ordering::Relaxed) != device {
        match magic(dir) {
            Some(NFS) => LAST_NFS.store(device, Ordering::Relaxed),
            Some(_) => return Nfs::No,
            None => return Nfs::NotKnown,
        }
    }
    fs_read("/proc/self/mountinfo").map_or(Nfs::NotKnown, |mounts| version(&mounts, device))
}

/// The device of its file system, from the cache: it does not change.
fn device(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statx(CWD, dir, AtFlags::STATX_DONT_SYNC, StatxFlags::empty()).ok()?;
    Some(makedev(stat.stx_dev_major, stat.stx_dev_minor))
}

/// How a directory is mounted.
pub(crate) fn mount(dir: &Path) -> Option<Mount> {
    let [kind, source, options] = listed(device(dir)?)?;
    Some(Mount { magic: magic(dir)?, kind, source, options })
}

/// The address of the file server, if the list of mounts has one: nfs(5) and mount.cifs(8) name it `addr`.
pub(crate) fn server(dir: &Path) -> Option<IpAddr> {
    let [_, _, options] = listed(device(dir)?)?;
    options.split(',').find_map(|option| option.strip_prefix("addr="))?.parse().ok()
}

/// The type, the source and the options in the list of mounts.
fn listed(device: u64) -> Option<[String; 3]> {
    let mounts = fs_read("/proc/self/mountinfo")?;
    let mounts = String::from_utf8_lossy(&mounts);
    let mut words = words_of_mount(&mounts, device).map(str::to_owned);
    Some([words.next()?, words.next()?, words.next()?])
}

/// What the list of mounts says about a device's file system: its type, source and options. See proc_pid_mountinfo(5).
fn words_of_mount(mounts: &str, device: u64) -> impl Iterator<Item = &str> {
    let device = format!("{}:{}", major(device), minor(device));
    let mount = mounts.lines().find(move |mount| mount.split(' ').nth(2) == Some(&device));
    // They follow the lone hyphen.
    mount.and_then(|mount| mount.split_once(" - ")).map(|(_, rest)| rest.split(' ')).into_iter().flatten()
}

fn magic(dir: &Path) -> Option<u64> {
    rustix::fs::statfs(dir).ok().map(|stat| stat.f_type as u64 & 0xffff_ffff)
}

/// The version in the list of mounts. For the options, see nfs(5).
fn version(mounts: &[u8], device: u64) -> Nfs {
    let mounts = String::from_utf8_lossy(mounts);
    let mut words = words_of_mount(&mounts, device);
    let Some(kind) = words.next() else { return Nfs::NotKnown };
    if !kind.starts_with("nfs") {
        return Nfs::No;
    }
    let options = words.nth(1).unwrap_or_default();
    let value = |key: &str| options.split(',').find_map(|option| option.strip_prefix(key)?.strip_prefix('='));
    // "4.2", or in two options in old kernels.
    let (major, minor) = value("vers").map_or((None, None), |vers| match vers.split_once('.') {
        Some((major, minor)) => (Some(major), Some(minor)),
        None => (Some(vers), value("minorversion")),
    });
    match (kind, major, minor.and_then(|minor| minor.parse::<u32>().ok())) {
        ("nfs", Some("3"), _) => Nfs::V3,
        (_, Some("4"), Some(1..)) => Nfs::V41OrLater,
        (_, Some("4"), _) => Nfs::V40,
        _ => Nfs::NotKnown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_an_nfs_mount_is_known_from_the_list_of_mounts() {
        let mounts = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            30 22 0:53 / /mnt/a rw,relatime shared:7 - nfs srv:/a rw,vers=3,rsize=1048576,hard\n\
            31 22 0:54 / /mnt/b rw,relatime - nfs4 srv:/b rw,vers=4.2,rsize=1048576,hard\n\
            32 22 0:55 / /mnt/c rw,relatime - nfs4 srv:/c rw,vers=4.0,hard\n\
            33 22 0:56 / /mnt/d rw,relatime - nfs4 srv:/d rw,vers=4,hard\n\
            34 22 0:57 / /mnt/e rw,relatime - nfs4 srv:/e rw,vers=4,minorversion=1,hard\n\
            35 22 0:58 / /mnt/f rw,relatime - nfs4 srv:/f rw,hard\n\
            36 22 0:59 / /mnt/g rw,relatime - tmpfs tmpfs rw\n";
        let version = |minor| version(mounts, makedev(0, minor));
        assert_eq!([53, 54, 55, 56, 57].map(version), [Nfs::V3, Nfs::V41OrLater, Nfs::V40, Nfs::V40, Nfs::V41OrLater]);
        assert_eq!(version(58), Nfs::NotKnown, "not said: the careful answer");
        assert_eq!(version(59), Nfs::No, "its number was NFS's before");
        assert_eq!(version(60), Nfs::NotKnown, "not known: the careful answer");
    }

    #[test]
    fn a_file_that_is_not_on_nfs_is_read_as_usual() {
        let proc = Path::new("/proc");
        assert_eq!(reading(proc, device(proc).unwrap()), Reading::AsUsual);
        assert_eq!(reading(Path::new("/there is no such directory"), makedev(8, 1)), Reading::AsUsual, "unasked");
        assert_eq!(reading(Path::new("/there is no such directory"), makedev(0, 1)), Reading::NotAtAll, "not known");
    }

    #[test]
    fn one_clock_stamps_the_files_of_this_machines_own_file_systems_and_of_those_on_the_list() {
        assert_eq!(stamps(Path::new("/dev/shm")), Stamps::Server);
        assert_eq!(stamps(Path::new("/proc")), Stamps::NotKnown, "not named: the careful answer");
        assert_eq!(stamps(Path::new("/there is no such directory")), Stamps::NotKnown);
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
