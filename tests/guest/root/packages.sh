# A package is built, installed, configured, changed and removed by the root's own dpkg.
set -e
# One at a time: other tests have the same root.
exec 9> /var/lib/dpkg/demotic-test && flock 9
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
export LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
make() {
    mkdir -p p/DEBIAN p/usr/share/demotic-test/deep p/etc/demotic-test
    echo "version $1" > p/usr/share/demotic-test/deep/file
    ln -sf deep/file p/usr/share/demotic-test/link
    echo "setting $1" > p/etc/demotic-test/conf
    echo /etc/demotic-test/conf > p/DEBIAN/conffiles
    printf 'Package: demotic-test\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: a test\n' "$1" > p/DEBIAN/control
    for script in preinst postinst prerm postrm; do
        printf '#!/bin/sh\nset -e\necho "%s: $*"\n[ "%s" != postinst ] || { cat /usr/share/demotic-test/link; chown mail:mail /usr/share/demotic-test/deep/file; }\n' $script $script > p/DEBIAN/$script
        chmod 755 p/DEBIAN/$script
    done
    dpkg-deb --root-owner-group -b p demotic-test_$1.deb > /dev/null
}
make 1
make 2
show() { grep -v 'Reading database' | sed 's/(Reading database.*//; s/ \.\.\.$//'; }
dpkg -i demotic-test_1.deb 2>&1 | show
dpkg -L demotic-test | sort
stat -c '%U:%G %n' /usr/share/demotic-test/deep/file /usr/share/demotic-test
dpkg -S /usr/share/demotic-test/link
dpkg -i demotic-test_2.deb 2>&1 | show
cat /usr/share/demotic-test/link /etc/demotic-test/conf
echo changed > /usr/share/demotic-test/deep/file
dpkg -V demotic-test || true
dpkg -P demotic-test 2>&1 | show
ls -d /usr/share/demotic-test /etc/demotic-test 2>&1 | sed 's/^ls: //'
dpkg -s demotic-test 2>&1 | head -1
