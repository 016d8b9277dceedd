//! Exact host code of single guest instructions and of hot blocks, with its length and, where it is known, what a peer's generator takes for the
//! same (FEX's published expectations: flags live at the end, block exits not counted, no memory ordering).
//!
//! Flags are live behind every case; what is left where none is read, as in most places of real programs, stands behind the length. Where a shape takes
//! more than the peer the golden says why ([`WHY`]). `cargo xtask bless` (or `BLESS=1`) rewrites the files; a change of a count is to be looked at in the diff.

use demotic_codegen::target::Order;
use demotic_debug::dump::{guest, lifted, lifted_with, parse_hex};
use demotic_debug::host::{Host, Text, text};
use demotic_x86::state::Mode;
use std::fmt::Write;
use std::path::Path;

const PC: u64 = 0x401000;

/// Bytes, and what the peer takes.
type Case = (&'static str, &'static str);

const INSTRUCTIONS: &[Case] = &[
    ("48 01 d8", "4"),
    ("48 29 d8", "3"),
    ("48 39 d8", "2"),
    ("48 85 c0", "1"),
    ("00 d8", "6"),
    ("48 11 d8", "5"),
    ("10 d8", "14"),
    ("48 ff c0", "5"),
    ("48 c1 e0 05", "5"),
    ("48 d3 e8", "11"),
    ("48 21 d8", ""),
    ("48 31 c0", ""),
    ("48 f7 d8", ""),
    ("48 0f af c3", "5"),
    ("f7 f1", "7"),
    ("48 f7 f1", "15"),
    ("48 f7 e1", ""),
    ("0f 94 c0", "2"),
    ("48 0f 44 c3", "1"),
    ("48 0f bc c3", "4"),
    ("f3 48 0f b8 c3", "7"),
    ("48 8d 43 08", "1-2"),
    ("48 8d 44 8b 08", "1-2"),
    ("48 89 d8", ""),
    ("88 d8", ""),
    ("48 8b 47 08", ""),
    ("48 8b 04 cf", ""),
    ("0f b6 07", ""),
    ("48 63 07", ""),
    ("48 89 47 08", ""),
    ("48 01 07", ""),
    ("50", "1"),
    ("58", "1"),
    ("48 93", "1"),
    ("f0 48 0f b1 1f", "4"),
    ("f0 48 0f c1 07", "5"),
    ("9c", "39"),
    ("f3 a4", "54-83"),
    ("0f a2", "11+"),
    ("0f 58 c1", "1"),
    ("f3 0f 58 c1", "2"),
    ("f2 0f 59 c1", ""),
    ("f3 0f 5d c1", "5"),
    ("66 0f 70 c1 1b", "1-3"),
    ("66 0f d7 c0", "7"),
    ("66 0f fe c1", ""),
    ("66 0f ef c1", ""),
    ("0f 2e c1", "4"),
    ("f3 0f 2c c0", "7"),
    ("f2 0f 2a c0", ""),
    ("66 0f f6 c1", "5"),
    ("0f 28 07", ""),
    ("d8 07", "20+call"),
    ("dd 07", "19"),
    ("d9 c9", "10"),
    ("db f1", "25"),
    ("dc 4f 08", ""),
    ("de c1", ""),
    ("dd 5f 08", ""),
    ("db 7f 08", ""),
    ("df 6f 08", ""),
    ("df 7f 08", ""),
    ("dd e1", ""),
    ("df e0", ""),
    ("d9 6f 08", ""),
    ("d9 e8", ""),
    ("da c1", ""),
    ("d8 c9", ""),
    ("de e9", ""),
    ("d8 f1", ""),
    ("db 2f", ""),
    ("db 1f", ""),
    ("d9 e0", ""),
    ("f0 09 07", ""),
    ("87 07", ""),
    ("f0 0f b1 1f", ""),
    ("f0 48 0f c7 0f", ""),
    ("48 f7 f9", ""),
    ("48 0f a4 d8 05", ""),
    ("48 0f ad d8", ""),
    ("48 d1 d8", ""),
    ("48 d3 d0", ""),
    ("c5 f4 58 c2", "5"),
    ("c5 fd fe c1", ""),
    ("c4 e2 75 b8 c2", "8"),
    ("c4 e2 69 b8 e1", ""),
    ("c5 fc 11 07", ""),
    ("c5 fc 28 07", ""),
    // vpermd, vpmovmskb, vgatherdd, masked loads and stores
    ("c4 e2 75 36 c2", "23"),
    ("c5 fd d7 c1", "16"),
    ("c4 e2 6d 90 04 88", "46"),
    ("c4 e2 75 8c 00", ""),
    ("c4 e2 75 8e 00", ""),
];

/// What came with SSSE3 and later: strings (with the branch behind them), AES, SHA, checksums.
const NEWER: &[Case] = &[
    ("66 0f 38 17 c2", "12"),
    ("66 0f 38 17 c2 73 10", ""),
    ("66 0f 3a 63 c1 1a", "19+call"),
    ("66 0f 3a 63 c1 1a 76 10", ""),
    ("66 0f 3a 63 c1 02", ""),
    ("66 0f 3a 61 c1 45", ""),
    ("66 0f 3a 62 c1 40", ""),
    ("66 0f 38 00 c1", "3"),
    ("66 0f 3a 0f c1 05", ""),
    ("66 0f 38 dc c1", "4"),
    ("66 0f 38 df c1", ""),
    ("66 0f 3a df c1 1b", ""),
    ("66 0f 3a 44 c1 10", ""),
    ("0f 3a cc c1 00", ""),
    ("0f 38 cb c1", "10"),
    ("0f 38 cd c1", ""),
    ("f2 48 0f 38 f1 c3", ""),
];

const INSTRUCTIONS_32: &[Case] = &[
    ("01 d8", ""),
    ("8b 45 fc", ""),
    ("8b 04 8b", ""),
    ("89 04 24", ""),
    ("50", ""),
    ("58", ""),
    ("8d 44 8b 08", ""),
    ("65 a1 14 00 00 00", ""),
    ("f7 f1", "7"),
    ("0f ad d0", ""),
    ("f0 0f c7 0f", ""),
    ("d8 45 08", "20+call"),
    ("0f f4 c1", ""),
    ("0f 77", ""),
];

/// Loops and blocks as compilers make them.
const BLOCKS: &[Case] = &[
    // crc32: movzx, add, xor, shr, movzx, xor from a table, cmp, jne back.
    ("0f b6 0a 48 83 c2 01 31 c1 c1 e8 08 0f b6 c9 33 04 8f 48 39 f2 75 ec", ""),
    // sieve: mov, add, store a byte, cmp, jbe back.
    ("89 c2 01 f0 c6 04 17 01 3d ff ff 00 00 76 f1", ""),
    // sum of an array: add from memory, add, cmp, jne back.
    ("48 03 07 48 83 c7 08 48 39 d7 75 f4", ""),
    // strlen: cmp byte, je, inc.
    ("80 3c 07 00 74 05 48 ff c0 eb f5", ""),
    // daxpy: scalar double.
    ("f2 0f 10 04 c7 f2 0f 59 c1 f2 0f 58 04 c6 f2 0f 11 04 c6 48 83 c0 01 48 39 d0 75 e4", ""),
    // big numbers: adc through memory, with lea and dec so that the carry stays.
    ("48 8b 06 48 11 07 48 8d 76 08 48 8d 7f 08 48 ff c9 75 ed", ""),
    // aligned vectors: two loads, an operand and a store, of which two have a base that was looked at.
    ("66 0f 6f 07 66 0f 6f 4f 10 66 0f fe 47 20 0f 29 46 20", ""),
    // prologue.
    ("55 48 89 e5 53 48 83 ec 18", ""),
    // epilogue.
    ("48 83 c4 18 5b 5d c3", ""),
    // an interpreter's dispatch: load, step, jump through a table.
    ("8b 03 48 83 c3 04 ff 24 c5 00 10 48 00", ""),
    // Horner's rule in long double: fmul, fld, add, faddp, cmp, jne back.
    ("d8 c9 db 28 48 83 c0 10 de c1 48 39 d0 75 f3", ""),
    // polynomial and dot product in long double: fmul, two fld, fadd, fmulp, faddp, two pointers, cmp, jne back.
    ("d8 ca 48 83 c0 10 48 83 ea 10 db 68 f0 dc c1 db 6a 10 de c9 de c2 48 39 c1 75 e5", ""),
    // one of several small numbers: mov, bt, jb.
    ("b8 41 00 00 00 48 0f a3 c8 72 10", ""),
    // a cast of a number on the x87 stack: fldcw, fist, fldcw, mov.
    ("d9 6c 24 04 db 14 24 d9 6c 24 06 8b 04 24", ""),
    // the larger of two numbers on the x87 stack: two fld, fcomi, fcmovb, two fstp, add, cmp, jne back.
    ("dd 04 cf dd 04 ce db f1 da c1 dd 1c ca dd d8 48 83 c1 01 4c 39 c1 75 e8", ""),
    // a bit set by lock or, the result used.
    ("8b 07 89 c2 83 ca 04 f0 0f b1 17 75 f5", ""),
    // big numbers by pmuludq on MMX registers: movd, pmuludq, movd, paddq, paddq, movd, psrlq, two lea, sub, jne back.
    ("0f 6e 13 0f f4 d0 0f 6e 1f 0f d4 ca 0f d4 cb 0f 7e 0f 0f 73 d1 20 48 8d 7f 04 48 8d 5b 04 ff c9 75 e3", ""),
    // a sum with carry of memory whose flags nobody wants: adc, add.
    ("48 13 01 48 01 d8", ""),
    // a lock taken: lock cmpxchg, sete, test.
    ("f0 48 0f b1 19 0f 94 c3 84 db", ""),
    // shl in memory by cl.
    ("48 d3 20", ""),
    // rol of a byte in memory by cl, je.
    ("d2 00 74 05", ""),
    // inc in memory whose flags a branch reads together with the old carry: inc, ja.
    ("ff 06 77 03 39 c1 c3 39 c1 c3", ""),
    // three comparisons and branches out.
    ("83 f8 09 77 20 83 fb 61 7c 1b 3c 7a 7f 17", ""),
];

/// Why shapes take more AArch64 instructions than the peer's generator, which counts flags in a form that is good for one reader, and leaves out what
/// is said here.
const WHY: &[(&str, &str)] = &[
    ("48 01 d8", "ARMv8.0 inverts the carry by three instructions"),
    ("48 85 c0", "AF is cleared, as processors do"),
    ("00 d8", "CF and OF by an addition at the top of a word, PF and AF by images of their own"),
    ("48 11 d8", "AF's image, and the carry turned for the host and back"),
    ("10 d8", "where all flags are read the interpreter computes them"),
    ("48 ff c0", "CF stays as it was, which the host's addition overwrites"),
    ("48 c1 e0 05", "CF and OF of the last bit that is shifted out, by a doubling; AF is cleared"),
    ("48 d3 e8", "a count of 0 leaves all flags; where all are read the interpreter computes them"),
    ("48 0f af c3", "CF and OF from the high half, the others as processors leave them"),
    ("f7 f1", "#DE for zero and for a quotient that is too large"),
    ("48 0f bc c3", "a source of 0 leaves the register; of the flags only ZF changes"),
    ("f3 48 0f b8 c3", "ZF, and the five others cleared"),
    ("48 93", "registers have homes: two change places by three moves"),
    (
        "f0 48 0f b1 1f",
        "on ARMv8.0 a loop of exclusive accesses; all flags of a comparison; the accumulator is written where they differ",
    ),
    ("f0 48 0f c1 07", "on ARMv8.0 a loop of exclusive accesses; all flags of an addition"),
    ("0f 58 c1", "x86's NaNs and status flags: one look at the host's, once for a batch of operations"),
    ("f3 0f 58 c1", "x86's NaNs and status flags: one look at the host's, once for a batch of operations"),
    ("f3 0f 5d c1", "x86's status flags: one look at the host's, once for a batch of operations"),
    ("0f 2e c1", "unordered operands are told apart; SF and AF are cleared; x86's status flags"),
    ("d8 07", "80 bits, exact, without a call; a block's checks at its entry, and what it leaves at its end"),
    ("d8 45 08", "80 bits, exact, without a call; a block's checks at its entry, and what it leaves at its end"),
    ("dd 07", "a block's checks at its entry, and what it leaves at its end"),
    ("d9 c9", "a block's checks at its entry, and what it leaves at its end"),
    ("db f1", "a block's checks at its entry, and what it leaves at its end; all flags"),
    ("c5 f4 58 c2", "x86's NaNs and status flags; upper halves are in memory"),
    ("c4 e2 75 b8 c2", "x86's NaNs and status flags; upper halves are in memory"),
    (
        "c4 e2 6d 90 04 88",
        "every element may fault with those before it done: registers and mask are right behind each",
    ),
    ("66 0f 38 17 c2", "ZF and CF from two tests, and the four others cleared"),
    ("66 0f 3a 63 c1 1a", "inline, where the peer calls"),
];

/// The most that the peer takes; `None` without a number.
fn most(peer: &str) -> Option<usize> {
    let digits = peer.rsplit('-').next()?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Whether a host takes more for a case than the peer.
fn is_over(case: &Case, host: Host, count: usize) -> bool {
    // A call of the peer's is not in its number.
    host != Host::X64 && most(case.1).is_some_and(|most| count > most)
}

fn render(title: &str, cases: &[Case], mode: Mode, hosts: &[Host], order: Order) -> String {
    let mut out = format!("; {title}\n");
    for (hex, peer) in cases {
        let code = parse_hex(hex).expect("hexadecimal");
        let (unit, without_flags) = (lifted(&code, PC, mode), lifted_with(&code, PC, mode, 0));
        let insns: Vec<String> =
            guest(&code, PC, mode).lines().map(|l| l.split_once("  ").map_or("", |p| p.1).to_owned()).collect();
        let _ = writeln!(
            out,
            "\n== {} [{hex}]{}",
            insns.join("; "),
            if peer.is_empty() { String::new() } else { format!(" peer {peer}") }
        );
        for host in hosts {
            match text(&unit, *host, order) {
                Ok(t) => {
                    let calls =
                        |t: &Text| if t.helpers > 0 { format!(" + {} helper", t.helpers) } else { String::new() };
                    let _ = write!(out, "{} {}{}", host.name(), t.count, calls(&t));
                    match text(&without_flags, *host, order) {
                        Ok(d) if (d.count, d.helpers) != (t.count, t.helpers) => {
                            let _ = write!(out, " ({}{} without flags)", d.count, calls(&d));
                        }
                        _ => {}
                    }
                    if is_over(&(hex, peer), *host, t.count) {
                        let why = WHY.iter().find(|w| w.0 == *hex).map_or("for no reason that is known", |w| w.1);
                        let _ = write!(out, "; more than the peer: {why}");
                    }
                    let _ = write!(out, "\n{}", t.counted);
                }
                Err(why) => {
                    let _ = writeln!(out, "{} refused: {why}", host.name());
                }
            }
        }
    }
    out
}

fn check(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(file);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).expect("written");
        return;
    }
    let committed = std::fs::read_to_string(&path).expect("a golden file");
    if committed != text {
        let line = committed.lines().zip(text.lines()).position(|(a, b)| a != b);
        let n = line.unwrap_or(committed.lines().count().min(text.lines().count()));
        let around = |t: &str| t.lines().skip(n.saturating_sub(6)).take(12).collect::<Vec<_>>().join("\n");
        panic!("{file} line {}: committed\n{}\nnow\n{}\n(cargo xtask bless)", n + 1, around(&committed), around(text));
    }
}

/// What an emitter refused once: a unit that is refused is interpreted for ever.
const AWKWARD: &[&str] = &[
    "48 13 01 48 01 d8 c3",
    "48 1b 01 48 01 d8 c3",
    "13 49 02 00 e9 c3",
    "12 01 00 d8 c3",
    "48 11 18 48 01 d8 c3",
    "48 13 d9 48 01 d8 c3",
    "f0 48 0f b1 19 0f 94 c3 84 db c3",
    "f0 0f b1 19 c3",
    "48 d3 20 c3",
    "d3 20 75 01 c3",
    "d2 28 75 01 c3",
    "66 d3 38 c3",
    "d2 00 c3",
    "d2 00 74 05 c3",
    "66 d3 08 c3",
    "66 d3 08 72 05 c3",
    "d2 c0 74 05 c3",
    "d2 fc c3",
    "c0 00 08 c3",
    "c0 c0 08 c3",
    "66 c1 00 10 c3",
    "c0 48 8b 58 c3",
    "48 d3 00 c3",
    "14 24 8d 41 ff c3",
    "1c 24 b0 01 c3",
    "15 43 fe ff 48 8d 05 57 c2 13 00 48 89 04 24 c3",
    "41 12 01 90 48 8d 05 23 40 14 00 c3",
    "ff 06 77 03 39 c1 c3 39 c1 c3",
    "48 ff 0e 76 03 39 c1 c3 39 c1 c3",
    "48 11 da 49 89 d5 49 0f af d7 49 83 d5 00 49 01 c4 c3",
    "49 f7 d8 49 89 d0 48 83 d2 00 4d 01 c8 c3",
    "48 39 54 24 08 8d 50 d0 41 0f 95 c1 83 fa 09 c3",
];

/// Arithmetic with all status flags: one look at what was raised.
const EXACT: &[Case] = &[
    ("0f 58 c1", ""),
    ("f2 0f 59 c1", ""),
    ("f3 0f 5d c1", ""),
    ("66 0f 5f c1", ""),
    ("0f 2e c1", ""),
    ("f3 0f 2c c0", ""),
    ("f2 0f 2d c0", ""),
    ("f2 0f 2a c0", ""),
    ("f2 48 0f 2a c0", ""),
    ("f2 0f 5a c1", ""),
    ("c5 f4 58 c2", ""),
    ("c5 f4 5d c2", ""),
    ("c4 e2 75 b8 c2", ""),
    ("0f ae 17", ""),
    ("0f ae 1f", ""),
    // daxpy: scalar double.
    ("f2 0f 10 04 c7 f2 0f 59 c1 f2 0f 58 04 c6 f2 0f 11 04 c6 48 83 c0 01 48 39 d0 75 e4", ""),
];

const BOTH: &[Host] = &[Host::Arm64, Host::X64];

#[test]
fn instructions() {
    check("instructions.txt", &render("64-bit code", INSTRUCTIONS, Mode::Long, BOTH, Order::Single));
    check("instructions32.txt", &render("32-bit code", INSTRUCTIONS_32, Mode::Compat32, BOTH, Order::Single));
}

#[test]
fn with_extensions() {
    let mut some: Vec<Case> = INSTRUCTIONS.iter().copied().filter(|(hex, _)| !hex.starts_with("d")).take(40).collect();
    some.extend(NEWER);
    check("instructions_v84.txt", &render("64-bit code", &some, Mode::Long, &[Host::Arm64v84], Order::Single));
}

#[test]
fn what_is_more_than_the_peer_has_a_reason() {
    let both = [Host::Arm64, Host::Arm64v84];
    let lists = [
        (INSTRUCTIONS, Mode::Long, &both[..]),
        (INSTRUCTIONS_32, Mode::Compat32, &both[..]),
        (NEWER, Mode::Long, &both[1..]),
    ];
    let mut over: Vec<&str> = Vec::new();
    for (list, mode, hosts) in lists {
        for case in list {
            let unit = lifted(&parse_hex(case.0).expect("hexadecimal"), PC, mode);
            for &host in hosts {
                if text(&unit, host, Order::Single).is_ok_and(|t| is_over(case, host, t.count)) {
                    over.push(case.0);
                }
            }
        }
    }
    over.sort_unstable();
    over.dedup();
    let mut said: Vec<&str> = WHY.iter().map(|w| w.0).collect();
    said.sort_unstable();
    assert_eq!(over, said);
}

#[test]
fn memory_order() {
    let touches = ["48 8b 47 08", "48 8b 04 cf", "0f b6 07", "48 89 47 08", "48 01 07", "50", "58", "0f 28 07"];
    let cases: Vec<Case> = touches.map(|t| (t, "")).to_vec();
    let text =
        render("accesses in the order of x86-TSO", &cases, Mode::Long, &[Host::Arm64, Host::Arm64v84], Order::Tso);
    check("ordered.txt", &text);
}

#[test]
fn blocks() {
    check("blocks.txt", &render("hot blocks", BLOCKS, Mode::Long, BOTH, Order::Single));
}

#[test]
fn exact_arithmetic() {
    let hosts = [Host::Arm64, Host::Arm64Fast];
    check(
        "exact.txt",
        &render("arithmetic with all status flags, and with the host's", EXACT, Mode::Long, &hosts, Order::Single),
    );
}

/// x87 instructions need nearly all registers: there is code for all of them with operands in memory, wherever those are.
#[test]
fn x87_operands_in_memory_are_translated() {
    // [rax + 8 rcx - 0x48], [8 rax + 0x804c000], [rcx + 0x4ee90004], [rdi + 8], an address.
    let forms: [&[u8]; 5] = [
        &[0x44, 0xc8, 0xb8],
        &[0x04, 0xc5, 0, 0xc0, 4, 8],
        &[0x81, 4, 0, 0xe9, 0x4e],
        &[0x47, 8],
        &[0x05, 0, 0xc0, 4, 8],
    ];
    let mut refused = Vec::new();
    for (op, reg) in (0xd8..=0xdfu8).flat_map(|op| (0..8u8).map(move |reg| (op, reg))) {
        for form in forms {
            for mode in [Mode::Long, Mode::Compat32] {
                // Three in a row, so that results are in registers.
                let mut code = Vec::new();
                for _ in 0..3 {
                    code.extend([op, form[0] | reg << 3]);
                    code.extend_from_slice(&form[1..]);
                }
                let unit = lifted(&code, PC, mode);
                for host in [Host::Arm64, Host::Arm64v84, Host::X64] {
                    for order in [Order::Single, Order::Tso] {
                        if text(&unit, host, order).is_err() {
                            refused.push(format!("{mode:?} {} {order:?}: {}", host.name(), guest(&code, PC, mode)));
                        }
                    }
                }
            }
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn nothing_is_refused() {
    for hex in AWKWARD {
        let code = parse_hex(hex).expect("hexadecimal");
        for mode in [Mode::Long, Mode::Compat32] {
            let unit = lifted(&code, PC, mode);
            for host in [Host::Arm64, Host::Arm64v84, Host::Arm64Fast, Host::X64] {
                let order = if host == Host::X64 { Order::Single } else { Order::Tso };
                if let Err(why) = text(&unit, host, order) {
                    panic!("{hex} in {mode:?} for {}: {why}", host.name());
                }
            }
        }
    }
}
