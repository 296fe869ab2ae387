//! Symbolic links, pipes, sockets and other programs' directories at the lock path.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use linklock::ErrorKind;

use crate::common::make_lock_directory;
use crate::not_a_lock::{left_alone, not_a_lock};

#[test]
fn a_symbolic_link_at_the_lock_path_and_its_target_are_left_alone() {
    not_a_lock("a dangling symbolic link", |path| symlink(path.with_extension("nowhere"), path).unwrap());
    not_a_lock("a symbolic link to a file", |path| {
        fs::write(path.with_extension("file"), "precious").unwrap();
        symlink(path.with_extension("file"), path).unwrap();
    });
    not_a_lock("a symbolic link to an empty directory", |path| {
        fs::create_dir(path.with_extension("directory")).unwrap();
        symlink(path.with_extension("directory"), path).unwrap();
    });
    not_a_lock("a symbolic link to a directory", |path| {
        fs::create_dir(path.with_extension("directory")).unwrap();
        fs::write(path.with_extension("directory").join("file"), "precious").unwrap();
        symlink(path.with_extension("directory"), path).unwrap();
    });
}

#[test]
fn a_symbolic_link_to_itself_at_the_lock_path_is_left_alone() {
    not_a_lock("a symbolic link to itself", |path| symlink(path, path).unwrap());
}

/// rename(2) would let the dir protocol replace it.
#[test]
fn an_empty_directory_that_is_not_from_a_dir_lock_is_left_alone() {
    let empty = |path: &Path| fs::create_dir(path).unwrap();
    left_alone("an empty directory", empty, &[ErrorKind::NotALock, ErrorKind::NotHeld]);
}

#[test]
fn a_foreign_directory_with_a_removed_open_file_is_left_alone() {
    not_a_lock("a directory with a file of an NFS client's", |path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join(".nfs000000000004a1f00000000b"), "").unwrap();
    });
}

#[test]
fn a_pipe_or_a_socket_at_the_lock_path_is_left_alone_and_nobody_hangs() {
    not_a_lock("a pipe", make_pipe);
    not_a_lock("a socket", |path| drop(UnixListener::bind(path).unwrap()));
}

/// The bug, found with the fuzz targets: a pipe in the directory at the lock path, with the name of a claim, was taken for the entry of a lock.
/// The consequence: a breaker removed it. The mend: an entry is a file.
#[test]
fn a_directory_with_something_else_than_a_file_in_place_of_the_entry_is_left_alone() {
    type Make = fn(&Path);
    let makes: [(&str, Make); 4] = [
        ("a pipe", make_pipe),
        ("a socket", |path| drop(UnixListener::bind(path).unwrap())),
        ("a symbolic link", |path| symlink("/etc/passwd", path).unwrap()),
        ("a directory", |path| fs::create_dir(path).unwrap()),
    ];
    // One that has the lock for himself, and a reader.
    for (name, (what, make)) in ["", "s"].into_iter().flat_map(|end| makes.map(|make| (end, make))) {
        not_a_lock(&format!("a directory with {what}"), |path| {
            make_lock_directory(path);
            make(&path.join(format!("lock|host|1|00000000000000010000000000000002{name}")));
        });
    }
}

fn make_pipe(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
}
