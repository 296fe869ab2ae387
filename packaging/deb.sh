# Debian packages of the static programs.
source packaging/common.sh

control() {
    cat <<END
Package: linklock
Version: $VERSION
Architecture: $1
Maintainer: $MAINTAINER
Installed-Size: $2
Section: utils
Priority: optional
Homepage: $HOMEPAGE
Description: lock files that people on shared file systems can trust
 linklock lets processes on one or many machines take turns, with a lock that is
 only a path on a file system that they share, such as NFS: no daemon, no lock
 manager, no synchronised clocks. It runs a command, or a part of a script,
 while it holds the lock, and keeps the lock alive meanwhile.
 .
 Its locks are compatible with those of flufl.lock for Python.
END
}

changelog() { # In Debian's form. CHANGELOG.md has what changed.
    cat <<END
linklock ($VERSION) stable; urgency=medium

  * Release $VERSION: see CHANGELOG.md.gz beside this file.

 -- $MAINTAINER  $(date --utc --rfc-email --date "@$SOURCE_DATE_EPOCH")
END
}

package() { # package RUST-ARCHITECTURE DEBIAN-ARCHITECTURE
    local tree=$WORK/deb-$2 doc
    doc=$tree/usr/share/doc/linklock
    lay_out "$1" "$tree"
    sed "s,HOMEPAGE,$HOMEPAGE," packaging/copyright >"$doc/copyright"
    gzip --best --no-name <CHANGELOG.md >"$doc/CHANGELOG.md.gz"
    changelog | gzip --best --no-name >"$doc/changelog.gz"
    install -D -m 644 packaging/lintian-overrides "$tree/usr/share/lintian/overrides/linklock"
    install -d "$tree/DEBIAN"
    (cd "$tree" && find usr -type f | sort | xargs md5sum) >"$tree/DEBIAN/md5sums"
    control "$2" "$(du --summarize --apparent-size --block-size=1024 "$tree/usr" | cut -f 1)" >"$tree/DEBIAN/control"
    same_times "$tree"
    dpkg-deb --build --root-owner-group -Zxz "$tree" "$DIST/linklock_${VERSION}_$2.deb" >/dev/null
}

need "the Debian packages" dpkg-deb
package x86_64 amd64
package aarch64 arm64
