/* User and group ids, capabilities, names of the system, and limits of rights. */
#include "sys.h"
#ifdef __i386__
#define L(n) SYS_##n##32
#else
#define L(n) SYS_##n
#endif
static void ids(void) { u32 r, e, s; R(L(getresuid), &r, &e, &s); P("%d %d %d", r, e, s); R(L(getresgid), &r, &e, &s);
    P(" / %d %d %d\n", r, e, s); }
CASE(setuid_root) { CHILD({ S(L(setuid), 1000); ids(); S(L(setuid), 0); S(L(setgid), 0); }); CHILD({ S(L(setgid), 1000);
    ids(); S(L(setgid), 5); ids(); }); S(L(setuid), -1); S(L(setgid), -1); }
CASE(setresuid_mixed) { CHILD({ S(L(setresuid), 1, 2, 3); ids(); S(L(setresuid), -1, 1, -1); ids();
    S(L(setresuid), -1, 4, -1); S(L(setresuid), 3, 2, 1); ids(); S(L(setreuid), 1, 3); ids(); }); }
CASE(setresgid_mixed) { CHILD({ S(L(setresgid), 1, 2, 3); S(L(setresuid), 9, 9, 9); ids(); S(L(setresgid), -1, 3, -1);
    S(L(setresgid), 4, -1, -1); S(L(setregid), 2, 1); ids(); }); }
CASE(setreuid_saved) { CHILD({ S(L(setreuid), -1, 7); ids(); S(L(setreuid), 7, -1); ids(); }); CHILD({
    S(L(setregid), 5, 6); ids(); }); }
CASE(setfsuid_returns) { S(L(setfsuid), -1); S(L(setfsuid), 5); S(L(setfsuid), -1); S(L(setfsgid), 6);
    S(L(setfsgid), -1); int fd = open("x", O_CREAT, 0600); P("%d\n", fd >= 0); struct stat s; stat("x", &s);
    P("%d %d\n", s.st_uid, s.st_gid); }
CASE(getresuid_errors) { u32 r; S(L(getresuid), BAD, &r, &r); S(L(getresuid), &r, &r, BAD);
    S(L(getresgid), &r, BAD, &r); }
CASE(groups) { u32 g[4] = {5, 4, 3, 70000}; CHILD({ S(L(setgroups), 4, g); S(L(getgroups), 0, 0); u32 o[4];
    S(L(getgroups), 4, o); P("%d %d %d %d\n", o[0], o[1], o[2], o[3]); S(L(getgroups), 2, o); S(L(getgroups), -1, o);
    S(L(getgroups), 4, BAD); S(L(setgroups), 1, BAD); S(L(setgroups), 70000, g); S(L(setgroups), 0, 0);
    S(L(getgroups), 0, 0); drop(); S(L(setgroups), 0, 0); }); }
CASE(ids_unprivileged) { UNPRIVILEGED({ drop(); S(L(setuid), 0); S(L(setgid), 0); S(L(setresuid), 0, -1, -1);
    S(L(setreuid), 0, 0); S(L(setfsuid), 0); S(L(setfsuid), -1); S(SYS_setpriority, 0, 0, -5); }); }
CASE(groups_give_access) { close(file("abc")); chmod("f", 0040); chown("f", 0, 77); u32 g = 77; UNPRIVILEGED({
    R(L(setgroups), 1, &g); drop(); F(SYS_open, "f", 0); R(L(getgroups), 0, 0); }); UNPRIVILEGED({
    R(L(setgroups), 0, 0); drop(); F(SYS_open, "f", 0); }); }
#ifdef __i386__
CASE(ids16_i386) { CHILD({ S(SYS_setresgid32, 70001, 70002, 70003); S(SYS_setresuid32, 70001, 70002, 70003);
    u16 r, e, s; S(SYS_getresuid, &r, &e, &s); P("%d %d %d\n", r, e, s); S(SYS_getuid); S(SYS_geteuid); S(SYS_getgid);
    S(SYS_getegid); S(SYS_getresuid, BAD, &e, &s); }); CHILD({ S(SYS_setresuid, 0xffff, 5, 0xffff); ids();
    S(SYS_setreuid, 0xffff, 0); ids(); S(SYS_setuid, 9); ids(); }); CHILD({ S(SYS_setgid, 3); S(SYS_setregid, 4, 5);
    S(SYS_setresgid, 6, 0xffff, 7); ids(); S(SYS_setfsuid, 0xffff); S(SYS_setfsgid, 0xffff); }); }
CASE(groups16_i386) { u16 g[3] = {5, 4, 3}; CHILD({ S(SYS_setgroups, 3, g); u16 o[3]; S(SYS_getgroups, 3, o);
    P("%d %d %d\n", o[0], o[1], o[2]); u32 big[2] = {70000, 6}; R(SYS_setgroups32, 2, big); S(SYS_getgroups, 3, o);
    P("%d %d\n", o[0], o[1]); S(SYS_getgroups, 1, o); S(SYS_getgroups, 3, BAD); S(SYS_setgroups, 3, BAD); }); }
CASE(old_unames_i386) { char b[400]; memset(b, 1, 400); S(SYS_oldolduname, b); P("%.9s|%.9s\n", b, b + 36);
    S(SYS_olduname, b); P("%.65s|%.65s\n", b, b + 260); S(SYS_oldolduname, BAD); S(SYS_olduname, BAD); }
#endif
CASE(capabilities) { u32 h[2] = {0, 0}, d[6] = {0}; S(SYS_capget, h, 0); X(h[0]); h[0] = 0x12345; S(SYS_capget, h, d);
    X(h[0]); S(SYS_capget, h, d); P("%d\n", d[0] != 0); h[1] = 99999999; S(SYS_capget, h, d); h[1] = -1;
    S(SYS_capget, h, d); h[1] = 0; S(SYS_capget, BAD, d); S(SYS_capget, h, BAD); CHILD({ d[0] = d[3] = 0;
    d[1] = d[4] = 1; d[2] = d[5] = 0; S(SYS_capset, h, d); d[1] = 3; S(SYS_capset, h, d); S(SYS_capset, h, BAD);
    h[0] = 5; S(SYS_capset, h, d); }); UNPRIVILEGED({ drop(); h[0] = 0x20080522; S(SYS_capget, h, d); X(d[0]); X(d[1]);
    d[0] = 1; S(SYS_capset, h, d); }); }
CASE(uname_machine) { char b[400]; S(SYS_uname, b); P("%s %s\n", b, b + 65 * 4); S(SYS_uname, BAD);
    S(SYS_uname, edge(100)); }
CASE(hostname) { CHILD({ own(0x04000000); S(SYS_sethostname, "name", 4); char b[400]; R(SYS_uname, b);
    P("%s\n", b + 65); S(SYS_sethostname, b, 65); S(SYS_sethostname, b, -1); S(SYS_sethostname, BAD, 4);
    S(SYS_setdomainname, "dom", 3); R(SYS_uname, b); P("%s\n", b + 65 * 5); }); }
CASE(sysinfo) { u8 b[128]; memset(b, 0xee, 128); S(SYS_sysinfo, b); P("%d\n", *(long *)b > 0);
    hex("behind", b + (sizeof(long) == 8 ? 112 : 64), 4); S(SYS_sysinfo, BAD); }
CASE(syslog_errors) { S(SYS_syslog, 99, 0, 0); S(SYS_syslog, 3, 0, 5); S(SYS_syslog, 3, BAD, -1); UNPRIVILEGED({ drop();
    S(SYS_syslog, 5, 0, 0); }); }
CASE(getrandom_cases) { char b[16]; S(SYS_getrandom, b, 16, 0); S(SYS_getrandom, b, 16, 8);
    S(SYS_getrandom, BAD, 16, 0); S(SYS_getrandom, b, 0, 0); S(SYS_getrandom, b, 16, 6); S(SYS_getrandom, b, 16, 4);
    S(SYS_getrandom, BAD, 0, 0); }
CASE(sysfs_cases) { char b[64]; S(SYS_sysfs, 1, "none"); F(SYS_sysfs, 1, "proc"); S(SYS_sysfs, 9, 0);
    S(SYS_sysfs, 2, 9999, b); P("%d\n", R(SYS_sysfs, 3) > 3); S(SYS_sysfs, 1, BAD); S(SYS_sysfs, 2, 0, BAD); }
CASE(gone_calls) {
#ifdef __i386__
    static const int n[] = {17, 31, 32, 35, 44, 53, 56, 58, 98, 112, 127, 130, 134, 137, 149, 167, 169, 188, 189, 222, 223, 251, 253, 273, 285};
#else
    static const int n[] = {134, 156, 174, 177, 178, 180, 181, 182, 183, 184, 185, 212, 214, 215, 236};
#endif
    for (unsigned i = 0; i < sizeof n / 4; i++) { P("%d ", n[i]); show("", R(n[i], 0, 0, 0)); } }
CASE(unknown_numbers) { S(500, 0); S(1000, 0); S(-1, 0); S(0x7fffffff, 0); }
