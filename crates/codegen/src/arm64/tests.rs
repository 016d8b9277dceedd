//! Units from text, and the code that comes out as text.

use super::*;
use crate::target::{Arch, Features, Order, Target};

fn request(order: Order) -> Request {
    let features = Features { lse: true, lse2: true, rcpc: true, rcpc2: true, flagm: true, ..Features::default() };
    Request {
        target: Target { arch: Arch::Arm64, features, order },
        unaligned: false,
        arithmetic: Arithmetic::Fast,
        nans: false,
        precision: crate::Precision::Exact,
        significand: Default::default(),
    }
}

fn instructions(code: &[u8]) -> Vec<String> {
    let text = |word: u32| {
        let text = disarm64::decoder::decode(word).map_or("?".to_owned(), |op| format!("{op}"));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    code.chunks_exact(4).map(|w| text(u32::from_le_bytes([w[0], w[1], w[2], w[3]]))).collect()
}

fn unit(body: &str, live: &str) -> Unit {
    let live = if live.is_empty() { String::new() } else { format!("  live {live}\n") };
    let text = format!("unit 64 {{\nblock 0x1000..0x1004 {{\n  @0x1000+4\n{body}{live}}}\n}}\n");
    demotic_ir::text::parse_unit(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// What a block without live flags behind it becomes, without pre-entry and the way out.
fn body(lines: &str, order: Order) -> Vec<String> {
    let unit = unit(&format!("{lines}\n  jump 0x1004\n"), "-");
    let out = Arm64.emit(&unit, &request(order)).expect("code");
    let edge = out.edges[0].at as usize;
    instructions(&out.code[out.entries[0] as usize..edge])
}

#[test]
fn common_forms_take_one_instruction() {
    let single = [
        ("  v0 = get.i64 g0\n  v1 = get.i64 g3\n  v2 = add.i64 v0, v1\n  set.i64 g0, v2", "add x0, x0, x3"),
        (
            "  v0 = get.i64 g3\n  v1 = get.i64 g4\n  v2 = const.i64 0xfffffffffffffff8\n  v3 = add.i64 v1, v2\n  st.i64 0x2, v3, v0\n  \
             set.i64 g4, v3",
            "str x3, [x4, #-8]!",
        ),
        (
            "  v0 = get.i64 g4\n  v1 = ld.i64 0x2, v0\n  v2 = const.i64 0x8\n  v3 = add.i64 v0, v2\n  set.i64 g3, v1\n  set.i64 g4, v3",
            "ldr x3, [x4], #8",
        ),
        ("  v0 = get.i64 g6\n  v1 = ld.i8 0x0, v0\n  v2 = zext.i32 v1\n  set.i32 g0, v2", "ldrb w0, [x6]"),
        ("  v0 = get.i64 g6\n  v1 = ld.i16 0x0, v0\n  v2 = sext.i64 0x10, v1\n  set.i64 g0, v2", "ldrsh x0, [x6]"),
        (
            "  v0 = get.v128 x1\n  v1 = get.v128 x2\n  v2 = vxor.v128 v0, v1\n  set.v128 x1, v2",
            "eor v17.16b, v17.16b, v18.16b",
        ),
    ];
    for (ir, want) in single {
        assert_eq!(body(ir, Order::Single), [want], "{ir}");
    }
}

#[test]
fn order_is_kept_where_it_is_asked_for() {
    let load = "  v0 = get.i64 g6\n  v1 = ld.i64 0x0, v0\n  set.i64 g0, v1";
    assert_eq!(body(load, Order::Tso), ["ldapr x0, [x6]"]);
    let store = "  v0 = get.i64 g6\n  v1 = get.i64 g0\n  st.i64 0x0, v0, v1";
    assert_eq!(body(store, Order::Tso), ["stlr x0, [x6]"]);
    let vector = "  v0 = get.i64 g6\n  v1 = ld.v128 0x0, v0\n  set.v128 x0, v1";
    assert_eq!(body(vector, Order::Tso), ["ldr q16, [x6]", "dmb ishld"]);
    let real = body("  v0 = get.i64 g6\n  v1 = ld.f80 0x0, v0\n  st.f80 0x10, v0, v1", Order::Tso);
    let barriers: Vec<_> = real.iter().filter(|line| line.starts_with("dmb")).collect();
    assert_eq!(barriers, ["dmb ishld", "dmb ish"], "{real:?}");
}

#[test]
fn a_comparison_and_its_branch() {
    let unit = unit(
        "  v0 = get.i64 g0\n  v1 = get.i64 g1\n  v2 = fl.sub.i64 v0, v1\n  v3 = cond.fl l, v2\n  branch v3, 0x2000, 0x1004\n",
        "-",
    );
    let out = Arm64.emit(&unit, &request(Order::Single)).expect("code");
    let lines = instructions(&out.code[out.entries[0] as usize..]);
    assert_eq!(lines[0], "subs xzr, x0, x1");
    assert!(lines[1].starts_with("b.lt "), "{lines:?}");
    assert_eq!(out.edges.iter().map(|e| e.pc).collect::<Vec<_>>(), [0x1004, 0x2000]);
}

/// The return goes on the shadow stack at the target, with the landing that the call has left in x30.
#[test]
fn a_call_takes_three_instructions_and_an_indirect_one_seven() {
    let emit = |way: &str| {
        let push = "  v0 = get.i64 g0\n  v1 = get.i64 g4\n  v2 = const.i64 0xfffffffffffffff8\n  v3 = add.i64 v1, v2\n  v4 = const.i64 0x1004\n  \
                    st.i64 0x2, v3, v4\n  set.i64 g4, v3\n";
        Arm64.emit(&unit(&format!("{push}  {way}\n"), "-"), &request(Order::Single)).expect("code")
    };
    let out = emit("call 0x2000, 0x1004");
    let (at, entry) = (out.calls[0] as usize, out.entries[0] as usize);
    assert_eq!((at + 4, out.edges[0].kind, out.edges[0].at as usize), (entry, EdgeKind::Call, entry + 8));
    let push = ["movz x16, #0x1004, lsl #0x0", "str x16, [x4, #-8]!"];
    assert_eq!(instructions(&out.code[at..])[0], "stp x16, x30, [sp, #-16]!");
    assert_eq!(instructions(&out.code[entry..])[..2], push);
    let out = emit("icall v0, 0x1004");
    let lines = instructions(&out.code[out.entries[0] as usize..]);
    assert_eq!(lines[..2], push);
    assert_eq!(lines[2..5], ["bfm x18, x0, #60, #11", "ldp x17, x30, [x18]", "sub x17, x17, x0"]);
    assert_eq!(lines[6], "blr x30");
}

/// At every instruction the state is known, whatever the second emission stops at.
#[test]
fn every_instruction_is_a_place() {
    let text = "unit 64 {
block 0x1000..0x1010 {
  @0x1000+4
  v0 = get.i64 g0
  v1 = get.i64 g1
  v2 = add.i64 v0, v1
  v3 = fl.add.i64 v0, v1
  set.i64 g0, v2
  setfl.fl cpazso, v3
  @0x1004+4
  v6 = ld.i64 0x0, v2
  v7 = aadd.i64 0x0, v2, v6
  set.i64 g1, v7
  @0x1008+4
  v9 = get.v128 x0
  v10 = fadd.f64 0x0, v9, v9
  set.v128 x0, v10
  v12 = x.peek.f80
  v13 = x.tof.i64 v12
  set.i64 g2, v13
  @0x100c+4
  v15 = cond.fl p, v3
  branch v15, 0x1000:0, 0x1010:1
}
block 0x1010..0x1020 {
  @0x1010+4
  v0 = const.i64 0x1014
  v1 = get.i64 g4
  v2 = const.i64 0xfffffffffffffff8
  v3 = add.i64 v1, v2
  st.i64 0x2, v3, v0
  set.i64 g4, v3
  call 0x5000, 0x1014
}
}
";
    let unit = demotic_ir::text::parse_unit(text).expect("IR");
    for lse in [true, false] {
        for order in [Order::Single, Order::Tso] {
            let mut request = request(order);
            request.target.features.lse = lse;
            let out = Arm64.emit(&unit, &request).expect("code");
            assert_eq!(out, Arm64.emit(&unit, &request).expect("code"), "the same bytes every time");
            // Behind the last branch out of line come the literals.
            let end = out.relocs.iter().map(|r| r.at).max().unwrap_or(0) + 4;
            for offset in (0..end).step_by(4) {
                let place = Arm64.locate(&unit, &request, offset).unwrap_or_else(|| panic!("nothing at {offset:#x}"));
                let block = &unit.blocks[place.block as usize];
                assert!(place.index as usize <= block.insts.len() + 1);
                assert!(place.values.is_sorted_by_key(|(v, _)| *v));
                assert!(place.values.iter().all(|(v, _)| v.0 >= u16::MAX - 4 || v.index() <= place.index as usize));
            }
        }
    }
}

#[test]
fn the_runtime_decodes() {
    let runtime = Arm64.runtime(&request(Order::Single).target);
    let lines = instructions(&runtime.code);
    assert!(lines.len() > 100);
    assert!(lines.iter().all(|l| l != "?" && !l.starts_with("brk")), "{lines:?}");
    assert!(runtime.ranges.iter().all(|r| r.0 < r.1 && r.1 as usize <= runtime.code.len()));
}

#[test]
fn homes_and_state_are_the_same_thing() {
    let mut regs = HostRegs::default();
    for flags in 0..64u32 {
        use demotic_ir::state::eflags::{AF, CF, OF, PF, SF, ZF};
        let bits = [CF, PF, AF, ZF, SF, OF];
        let image = (0..6).filter(|k| flags >> k & 1 != 0).map(|k| bits[k]).sum::<u32>();
        let mut state = GuestState { flags: image, mxcsr: 0x1f80 | 3 << 13, ..GuestState::default() };
        state.gpr[15] = 7;
        state.xmm[15] = [8, 9];
        Arm64.load(&state, Arithmetic::Fast, &mut regs);
        assert_eq!(regs.fpcr, 3 << 22);
        regs.fpsr = 0x11;
        let mut back = GuestState::default();
        Arm64.store(Mode::Long, &regs, &mut back);
        assert_eq!((back.flags, back.gpr[15], back.xmm[15]), (image, 7, [8, 9]));
        assert_eq!(back.mxcsr & 0x3f, 0x21);
        let lt = back.flags & SF != 0;
        let of = back.flags & OF != 0;
        assert_eq!(Arm64.condition(&regs, 11), lt != of);
    }
}

#[test]
fn mmx_takes_loads_and_stores_of_registers() {
    let read = |v: usize, n: usize| {
        format!("  v{v} = x.getphys.f80 {n:#x}\n  v{} = x.bits.v128 v{v}\n  v{} = vlow.v128 v{}\n", v + 1, v + 2, v + 1)
    };
    let pmuludq = |v: usize| {
        let write = format!(
            "  v{} = vmulevenu.i32 v{}, v{}\n  v{} = vext.i64 0x0, v{}\n  v{} = vzext.i64 v{}\n  v{} = const.i16 0xffff\n  \
             v{} = vins.i16 0x4, v{}, v{}\n  v{} = x.from.f80 v{}\n  x.setphys.f80 0x0, v{}\n",
            v + 8,
            v + 7,
            v + 2,
            v + 9,
            v + 8,
            v + 10,
            v + 9,
            v + 11,
            v + 12,
            v + 10,
            v + 11,
            v + 13,
            v + 12,
            v + 13
        );
        [read(v, 1), "  x.chk.none 0\n  x.fn.none 0x1e\n".into(), read(v + 5, 0), write].concat()
    };
    let twice = [pmuludq(0), pmuludq(15)].concat();
    let code = body(&twice, Order::Single);
    let second = ["ldr d0, [x28", "ldr d1, [x28", "umull v2.2d, v1.2s, v0.2s", "str d2, [x28"];
    assert!(code[code.len() - 4..].iter().zip(second).all(|(w, begin)| w.starts_with(begin)), "{code:#?}");
    assert!(code.len() <= 18 && !code.iter().any(|w| w.starts_with("bl ")), "{code:#?}");
}
