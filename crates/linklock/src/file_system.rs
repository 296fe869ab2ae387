//! What is known of each kind of file system, in one place, with the evidence. docs/filesystems.md shows this table.

use std::time::Duration;

use crate::options::Protocol;
use KnownBy::{Magic, Source, Type};

/// Whose clock stamps the files of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamps {
    /// The file server's, or this machine's where nobody else changes the file system: one clock for all contenders.
    Server,
    /// Not known to be one clock: each client may stamp what it changes by its own.
    NotKnown,
}

/// What is known of a protocol on a kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fitness {
    /// The project's tests run there.
    Shown,
    /// What the protocol needs is there, by the file system's documents or source. linklock was not run on it.
    Documented,
    /// Neither of both.
    NotKnown,
    /// It has no hard links, or does not show them as such. Only for `link`, which finds that out before the first attempt.
    NoHardLinks,
    /// Two may hold the lock, or nobody can. It is refused.
    Unsafe(&'static str),
}

/// How a directory is mounted, as the system tells it.
#[allow(unreachable_pub, reason = "only the doctor shows it")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mount {
    /// The number of the kind of file system, as statfs(2) shows it.
    pub magic: u64,
    /// Its type, its source and its options, as in proc_pid_mountinfo(5).
    pub kind: String,
    /// What is mounted, such as `server:/export`.
    pub source: String,
    /// The options of the file system.
    pub options: String,
}

/// By what a kind is known.
#[derive(Clone, Copy, Debug)]
enum KnownBy {
    /// The number that statfs(2) shows.
    Magic(u64),
    /// Its types in the list of mounts: all that FUSE serves has one number.
    Type(&'static [&'static str]),
    /// The beginning of its source there: it has no type of its own beside FUSE's.
    Source(&'static str),
}

/// A kind of file system.
#[derive(Debug)]
pub(crate) struct FileSystem {
    pub(crate) name: &'static str,
    known_by: KnownBy,
    /// Whether only this machine changes it.
    pub(crate) is_local: bool,
    /// Whether another machine or a process must answer for it, and perhaps does not.
    pub(crate) has_server: bool,
    pub(crate) stamps: Stamps,
    pub(crate) link: Fitness,
    pub(crate) dir: Fitness,
    /// Whether a directory keeps the sticky bit that it was made with. Where that is not known, a claim shows it.
    pub(crate) keeps_sticky: bool,
    /// For how long a client may answer with what it knew, of a name or of a file's times, whatever others do.
    pub(crate) cached_for: Duration,
    /// What a user should know or do.
    pub(crate) advice: &'static str,
    /// Where this comes from.
    #[allow(dead_code, reason = "the doctor tells it, and docs/filesystems.md")]
    pub(crate) evidence: &'static str,
}

/// What libfuse lets the kernel believe unless a file system says otherwise: fuse(8), `entry_timeout`.
const SECOND: Duration = Duration::from_secs(1);

/// Of what only this machine changes.
const LOCAL: FileSystem = FileSystem {
    name: "",
    known_by: Type(&[]),
    is_local: true,
    has_server: false,
    stamps: Stamps::Server,
    link: Fitness::Shown,
    dir: Fitness::Shown,
    keeps_sticky: true,
    cached_for: Duration::ZERO,
    advice: "",
    evidence: "tests",
};

/// Of what others change too, and of which nothing is known yet.
const SHARED: FileSystem = FileSystem {
    is_local: false,
    has_server: true,
    stamps: Stamps::NotKnown,
    link: Fitness::NotKnown,
    dir: Fitness::NotKnown,
    ..LOCAL
};

/// Of what a process of this machine serves.
const SERVED: FileSystem = FileSystem { cached_for: SECOND, ..SHARED };

/// A store of objects behind FUSE.
const OBJECTS: FileSystem = FileSystem {
    link: Fitness::NoHardLinks,
    dir: Fitness::Unsafe("to rename a directory there is to copy and delete what is in it, step by step"),
    evidence: "documents",
    ..SERVED
};

/// All that are known.
pub(crate) const FILE_SYSTEMS: &[FileSystem] = &[
    FileSystem { name: "ext2, ext3, ext4", known_by: Magic(0xef53), evidence: "the whole test suite", ..LOCAL },
    FileSystem { name: "xfs", known_by: Magic(0x5846_5342), ..LOCAL },
    FileSystem { name: "btrfs", known_by: Magic(0x9123_683e), ..LOCAL },
    FileSystem { name: "tmpfs", known_by: Magic(0x0102_1994), ..LOCAL },
    FileSystem { name: "ramfs", known_by: Magic(0x8584_58f6), evidence: "as tmpfs", ..LOCAL },
    // Its lower layers may be anything.
    FileSystem { name: "overlayfs", known_by: Magic(0x794c_7630), has_server: true, ..LOCAL },
    FileSystem { name: "ZFS", known_by: Magic(0x2fc1_2fc1), ..POSIX },
    FileSystem { name: "F2FS", known_by: Magic(0xf2f5_2010), ..POSIX },
    FileSystem { name: "bcachefs", known_by: Magic(0xca45_1a4e), ..POSIX },
    FileSystem {
        name: "vfat",
        known_by: Magic(0x4d44),
        link: Fitness::NoHardLinks,
        keeps_sticky: false,
        advice: "names cannot hold `|`: `--separator ^`; times are of two seconds",
        evidence: "tests, in a guest",
        ..LOCAL
    },
    FileSystem {
        name: "exFAT",
        known_by: Magic(0x2011_bab0),
        link: Fitness::NoHardLinks,
        keeps_sticky: false,
        advice: "names cannot hold `|`: `--separator ^`",
        evidence: "tests, in a guest",
        ..LOCAL
    },
    FileSystem {
        name: "NFS",
        known_by: Magic(0x6969),
        stamps: Stamps::Server,
        link: Fitness::Shown,
        dir: Fitness::Shown,
        advice: "mount it `hard`; `dir` where requests can be late",
        evidence: "tests: Linux's server, versions 3 to 4.2, its clock an hour off; NFS-Ganesha 4.3. \
            Documents: Amazon EFS, NetApp ONTAP, Azure Files (NFS), OneFS (at most 1,000 hard links), VAST",
        ..SHARED
    },
    FileSystem {
        name: "CephFS",
        known_by: Magic(0x00c3_6400),
        link: Fitness::Documented,
        dir: Fitness::Documented,
        evidence: "as ceph-fuse; clients stamp, by their source",
        ..SHARED
    },
    FileSystem {
        name: "CephFS (ceph-fuse)",
        known_by: Type(&["fuse.ceph-fuse", "fuse.ceph"]),
        link: Fitness::Shown,
        dir: Fitness::Shown,
        cached_for: Duration::ZERO,
        evidence: "tests; clients stamp, by their source",
        ..SERVED
    },
    FileSystem {
        name: "GlusterFS",
        known_by: Type(&["fuse.glusterfs"]),
        link: Fitness::Shown,
        dir: Fitness::Shown,
        evidence: "tests, one client's clock a minute off: clients stamp",
        ..SERVED
    },
    FileSystem {
        name: "MooseFS",
        // In the list of mounts, where a # is written so.
        known_by: Source("mfs\\043"),
        stamps: Stamps::Server,
        link: Fitness::Shown,
        dir: Fitness::Shown,
        advice: "times are of whole seconds",
        evidence: "tests: its master stamps",
        ..SERVED
    },
    FileSystem {
        name: "Lustre",
        known_by: Magic(0x0bd0_0bd0),
        link: Fitness::Documented,
        dir: Fitness::Documented,
        advice: "`dir`: link(2) was told there to have been made that was not",
        evidence: "documents; clients stamp, in whole seconds, by their source",
        ..SHARED
    },
    FileSystem {
        name: "GPFS (Storage Scale)",
        known_by: Magic(0x4750_4653),
        link: Fitness::Documented,
        dir: Fitness::Documented,
        evidence: "documents",
        ..SHARED
    },
    FileSystem {
        name: "BeeGFS",
        known_by: Magic(0x1983_0326),
        stamps: Stamps::Server,
        link: Fitness::NotKnown,
        dir: Fitness::Documented,
        advice: "`dir`: hard links are an option there, which may make symbolic links instead",
        evidence: "documents: one metadata server for each directory",
        ..SHARED
    },
    FileSystem {
        name: "JuiceFS",
        known_by: Type(&["fuse.juicefs"]),
        link: Fitness::Documented,
        dir: Fitness::Documented,
        evidence: "documents; clients stamp, by their source",
        ..SERVED
    },
    FileSystem {
        name: "WekaFS",
        known_by: Type(&["wekafs"]),
        advice: "its default write cache is not coherent between clients",
        evidence: "documents",
        ..SHARED
    },
    FileSystem { name: "GFS2", known_by: Magic(0x0116_1970), evidence: "documents", ..CLUSTER },
    FileSystem { name: "OCFS2", known_by: Magic(0x7461_636f), evidence: "documents", ..CLUSTER },
    FileSystem { name: "SMB 2 and 3 (cifs)", known_by: Magic(0xfe53_4d42), ..SMB },
    FileSystem { name: "SMB (cifs)", known_by: Magic(0xff53_4d42), ..SMB },
    FileSystem { name: "AFS", known_by: Magic(0x5346_414f), evidence: "not tried", ..SHARED },
    FileSystem { name: "AFS (kAFS)", known_by: Magic(0x6b41_4653), evidence: "not tried", ..SHARED },
    FileSystem {
        name: "9p",
        // It shows the number of its server's file system.
        known_by: Type(&["9p"]),
        link: Fitness::Shown,
        dir: Fitness::Shown,
        advice: "mount it with cache=none or mmap",
        evidence: "tests of virtio-9p, two machines on one mount",
        ..SHARED
    },
    FileSystem { name: "virtiofs", known_by: Type(&["virtiofs"]), evidence: "not tried", ..SERVED },
    FileSystem { name: "VirtualBox shared folder", known_by: Magic(0x786f_4256), evidence: "not tried", ..SHARED },
    FileSystem { name: "VMware shared folder", known_by: Type(&["fuse.vmhgfs-fuse"]), evidence: "not tried", ..SERVED },
    FileSystem {
        name: "sshfs",
        known_by: Type(&["fuse.sshfs"]),
        link: Fitness::NoHardLinks,
        dir: Fitness::Unsafe(
            "it answers with what it knew up to 20 s before, so a lock that is refreshed looks expired",
        ),
        cached_for: Duration::from_secs(20),
        evidence: "tests; its manual, dcache_timeout",
        ..SERVED
    },
    FileSystem {
        name: "mergerfs",
        known_by: Type(&["fuse.mergerfs"]),
        link: Fitness::Unsafe(
            "whether a name is free is looked up on one of its branches alone, so two can make it at once",
        ),
        advice: "a directory of one of its branches is as fit as that branch",
        dir: Fitness::Unsafe("a rename there is several, one on each branch, and not one step"),
        evidence: "tests, two branches",
        ..SERVED
    },
    FileSystem {
        name: "gocryptfs",
        known_by: Type(&["fuse.gocryptfs"]),
        link: Fitness::Shown,
        dir: Fitness::Shown,
        evidence: "tests, on one machine",
        ..SERVED
    },
    FileSystem {
        name: "NTFS (ntfs-3g), and other disks by FUSE",
        known_by: Type(&["fuseblk"]),
        has_server: true,
        // What another kind of disk can is seen before the first attempt.
        link: Fitness::Documented,
        keeps_sticky: false,
        evidence: "tests of ntfs-3g",
        ..LOCAL
    },
    FileSystem { name: "s3fs", known_by: Type(&["fuse.s3fs"]), ..OBJECTS },
    FileSystem { name: "gcsfuse", known_by: Type(&["fuse.gcsfuse"]), cached_for: Duration::from_secs(60), ..OBJECTS },
    FileSystem { name: "blobfuse", known_by: Type(&["fuse.blobfuse", "fuse.blobfuse2"]), ..OBJECTS },
    FileSystem { name: "Mountpoint for Amazon S3", known_by: Type(&["fuse.mountpoint-s3"]), ..OBJECTS },
    FileSystem { name: "goofys", known_by: Type(&["fuse.goofys"]), ..OBJECTS },
    FileSystem { name: "rclone mount", known_by: Type(&["fuse.rclone"]), evidence: "a trial: EIO", ..OBJECTS },
];

/// Of this machine's own, with all that POSIX asks of names.
const POSIX: FileSystem =
    FileSystem { link: Fitness::Documented, dir: Fitness::Documented, evidence: "documents", ..LOCAL };

/// Several machines on one disk, with locks in between: each stamps what it changes.
const CLUSTER: FileSystem = FileSystem { link: Fitness::Documented, dir: Fitness::Documented, ..SHARED };

const SMB: FileSystem = FileSystem {
    link: Fitness::Unsafe(
        "the second name of a file cannot always be opened there, and a lock whose holder has died was not always had",
    ),
    dir: Fitness::Shown,
    keeps_sticky: false,
    cached_for: SECOND,
    evidence: "tests: Samba 4.17 and Linux 6.1's client, default options and `nolease,actimeo=0,closetimeo=0`",
    ..SHARED
};

impl FileSystem {
    /// The kind that is listed so among the mounts (type, source and options) or else, where the list does not tell, has this number.
    pub(crate) fn find(magic: u64, listed: Option<&[String; 3]>) -> Option<&'static Self> {
        let is_listed = |known: &&Self| match (known.known_by, listed) {
            (Type(types), Some([kind, ..])) => types.contains(&kind.as_str()),
            (Source(begin), Some([kind, source, _])) => kind.starts_with("fuse") && source.starts_with(begin),
            _ => false,
        };
        let has_magic = |known: &&Self| matches!(known.known_by, Magic(number) if number == magic);
        FILE_SYSTEMS.iter().find(is_listed).or_else(|| FILE_SYSTEMS.iter().find(has_magic))
    }

    pub(crate) fn fitness(&self, protocol: Protocol) -> Fitness {
        match protocol {
            Protocol::Link => self.link,
            Protocol::Dir => self.dir,
        }
    }
}
