# RPM packages of the static programs.
source packaging/common.sh

package() { # package ARCHITECTURE
    local tree=$WORK/rpm-$1 top
    lay_out "$1" "$tree"
    # Where zsh of Red Hat and SUSE looks.
    mv "$tree/usr/share/zsh/vendor-completions" "$tree/usr/share/zsh/site-functions"
    install -m 644 CHANGELOG.md "$tree/usr/share/doc/linklock"
    install -D -m 644 LICENSE "$tree/usr/share/licenses/linklock/LICENSE"
    same_times "$tree"
    # Not below $WORK: rpmbuild cannot work where a path has a space.
    top=$(mktemp -d)
    rpmbuild -bb --quiet --target "$1-linux" --define "_topdir $top" --define "tree $tree" --define "version_of_linklock $VERSION" \
        --define "homepage $HOMEPAGE" --define "_buildhost reproducible" packaging/linklock.spec
    cp "$top/RPMS/$1/linklock-$VERSION-1.$1.rpm" "$DIST"
    rm -rf "$top"
}

need "the RPM packages" rpmbuild
package x86_64
package aarch64
