//! What can be known of the file system that a path is on.

use std::path::Path;

use rustix::fs::{major, minor};

use super::fs_read;

const NFS: u64 = 0x6969;

/// Whether other machines change it too; `None` if that cannot be known.
pub(super) fn is_shared(dir: &Path) -> Option<bool> {
    Some(is_shared_magic(magic(dir)?))
}

/// NFS 4 has one request for the removal of files and of directories, NFS 3 has two.
pub(in super::super) fn removes_by_name_alone(dir: &Path) -> bool {
    // Each release of a dir lock asks: elsewhere than on NFS one call must do.
    if magic(dir).is_some_and(|magic| magic != NFS) {
        return false;
    }
    let Ok(stat) = rustix::fs::stat(dir) else { return true };
    let device = format!("{}:{}", major(stat.st_dev), minor(stat.st_dev));
    !fs_read("/proc/self/mountinfo").is_some_and(|mounts| is_nfs3(&mounts, &device))
}

fn magic(dir: &Path) -> Option<u64> {
    rustix::fs::statfs(dir).ok().map(|stat| stat.f_type as u64 & 0xffff_ffff)
}

/// Finds a device in the list of mounts, see proc_pid_mountinfo(5).
fn is_nfs3(mounts: &[u8], device: &str) -> bool {
    String::from_utf8_lossy(mounts).lines().any(|mount| {
        let of_device = mount.split(' ').nth(2) == Some(device);
        // Behind the lone hyphen: type, source, options of the file system.
        let options = mount.split_once(" - ").and_then(|(_, rest)| rest.split(' ').nth(2)).unwrap_or_default();
        of_device && options.split(',').any(|option| option == "vers=3")
    })
}

/// File systems that other machines change too, by the magic numbers of statfs(2) and of their own sources. One that is
/// not named here counts as this machine's own; the only consequence is how a waiter without inotify polls.
fn is_shared_magic(magic: u64) -> bool {
    const SMB: [u64; 3] = [0x517b, 0xff53_4d42, 0xfe53_4d42];
    const CEPH: u64 = 0x00c3_6400;
    const AFS: u64 = 0x5346_414f;
    const LUSTRE: u64 = 0x0bd0_0bd0;
    const GPFS: u64 = 0x4750_4653;
    const BEEGFS: u64 = 0x1983_0326;
    const FUSE: u64 = 0x6573_5546;
    const V9FS: u64 = 0x0102_1997;
    const OCFS2: u64 = 0x7461_636f;
    const GFS2: u64 = 0x0116_1970;
    SMB.contains(&magic) || [NFS, CEPH, AFS, LUSTRE, GPFS, BEEGFS, FUSE, V9FS, OCFS2, GFS2].contains(&magic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_an_nfs_mount_is_known_from_the_list_of_mounts() {
        let mounts = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            30 22 0:53 / /mnt/a rw,relatime shared:7 - nfs srv:/a rw,vers=3,rsize=1048576,hard\n\
            31 22 0:54 / /mnt/b rw,relatime - nfs4 srv:/b rw,vers=4.2,rsize=1048576,hard\n";
        assert!(is_nfs3(mounts, "0:53"));
        assert!(!is_nfs3(mounts, "0:54") && !is_nfs3(mounts, "0:55") && !is_nfs3(mounts, "8:1"));
    }

    #[test]
    fn a_local_file_system_does_not_remove_by_name_alone() {
        assert!(!removes_by_name_alone(Path::new("/proc")));
        assert!(removes_by_name_alone(Path::new("/there is no such directory")), "not known: the careful answer");
    }
}
