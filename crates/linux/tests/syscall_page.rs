//! docs/syscalls.md is what the system call table says; `BLESS=1` writes it anew.

#[test]
fn page_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/syscalls.md");
    let page = demotic_linux::syscall::table::markdown();
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
        std::fs::write(path, &page).unwrap();
    }
    let current = std::fs::read_to_string(path).unwrap_or_default();
    assert!(current == page, "docs/syscalls.md is not current: run this test with BLESS=1");
}
