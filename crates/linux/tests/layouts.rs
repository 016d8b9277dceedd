//! The guest structures against the kernel's own headers: for each ABI a C file of static assertions is generated from
//! the layout lists and given to a C compiler for that ABI.

use demotic_linux::abi::{Layout, i386, x86_64};
use std::fmt::Write;
use std::process::Command;

/// Kernel headers where the structure is exported; spelled out as `include/uapi` or `include/linux` has it where the
/// header cannot be included together with the C library's.
const PRELUDE: &str = r#"
#include <stddef.h>
#include <linux/types.h>
#include <linux/time.h>
#include <linux/time_types.h>
#include <linux/resource.h>
#include <linux/uio.h>
#include <linux/fcntl.h>
#include <linux/sysinfo.h>
#include <linux/timex.h>
#include <linux/times.h>
#include <linux/mqueue.h>
#include <linux/utime.h>
#include <linux/filter.h>
#include <linux/msg.h>
#include <linux/sem.h>
#include <linux/shm.h>
#include <linux/utsname.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <asm/siginfo.h>

/* include/linux/socket.h (not exported) */
struct user_msghdr {
    void *msg_name; int msg_namelen; struct iovec *msg_iov; __kernel_size_t msg_iovlen;
    void *msg_control; __kernel_size_t msg_controllen; unsigned int msg_flags;
};
struct user_cmsghdr { __kernel_size_t cmsg_len; int cmsg_level; int cmsg_type; };
/* include/linux/types.h (not exported) */
struct ustat {
    __kernel_daddr_t f_tfree; unsigned long f_tinode; char f_fname[6]; char f_fpack[6];
};
/* include/vdso/time32.h (not exported) */
struct old_timespec32 { __s32 tv_sec; __s32 tv_nsec; };
struct old_itimerspec32 { struct old_timespec32 it_interval; struct old_timespec32 it_value; };
"#;

fn check(compiler: &str, layouts: &[Layout]) {
    let mut source = String::from(PRELUDE);
    for layout in layouts {
        writeln!(source, "_Static_assert(sizeof({0}) == {1}, \"{0}\");", layout.c_name, layout.size).unwrap();
        for (field, offset) in layout.fields.iter().filter(|(field, _)| !field.starts_with("_pad")) {
            writeln!(source, "_Static_assert(offsetof({0}, {field}) == {offset}, \"{0}.{field}\");", layout.c_name)
                .unwrap();
        }
    }
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = dir.join(format!("layouts-{compiler}.c"));
    std::fs::write(&path, source).unwrap();
    match Command::new(compiler).args(["-fsyntax-only", "-x", "c"]).arg(&path).output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => eprintln!("skipped: no {compiler}"),
        Err(e) => panic!("{compiler}: {e}"),
        Ok(out) => assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr)),
    }
}

#[test]
fn x86_64_layouts_match_the_headers() {
    if cfg!(target_arch = "x86_64") {
        check("gcc", x86_64::LAYOUTS);
    } else {
        check("x86_64-linux-gnu-gcc", x86_64::LAYOUTS);
    }
}

#[test]
fn i386_layouts_match_the_headers() {
    check("i686-linux-gnu-gcc", i386::LAYOUTS);
}
