//! System instructions that user code meets.

use super::{Flow, Lifter, stack};
use demotic_ir::block::{Service, Term, Val};
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::reg;
use demotic_ir::ty::Ty;
use demotic_ir::xstate::{Form, Request};

/// Nothing to do: nop, pause, prefetch, endbr, hints.
pub fn nop(_: &mut Lifter) -> Flow {
    Flow::Next
}

/// Needs privilege 0: #GP.
pub fn privileged(l: &mut Lifter) -> Flow {
    l.fault(13)
}

/// #UD.
pub fn undefined(l: &mut Lifter) -> Flow {
    l.fault(6)
}

/// syscall: RCX := RIP of the next instruction, R11 := RFLAGS. In 32-bit code it is #UD (as on Intel processors).
pub fn syscall(l: &mut Lifter) -> Flow {
    if !l.long() {
        return l.fault(6);
    }
    let next = l.b.c(Ty::I64, l.next);
    let image = stack::flags_image(l);
    let image = l.b.zext(Ty::I64, image);
    l.set_gpr(reg::RCX, next);
    l.set_gpr(11, image);
    l.end(Term::Syscall { next: l.next })
}

/// sysenter: not advertised; 32-bit code may use it through the vDSO only, which offers int 0x80.
pub fn sysenter(l: &mut Lifter) -> Flow {
    if l.long() { l.fault(6) } else { l.end(Term::Sysenter { next: l.next }) }
}

/// cpuid, rdtsc, rdtscp, xgetbv, rdpid: the environment answers.
pub fn service(l: &mut Lifter, what: Service) -> Flow {
    l.end(Term::Service { what, args: [Val::NONE; 2], next: l.next })
}

/// Whether the processor has the instruction; otherwise it is #UD.
pub fn advertised(l: &mut Lifter, f: impl FnOnce(&mut Lifter) -> Flow) -> Flow {
    if l.features.allow(l.insn.code()) { f(l) } else { l.fault(6) }
}

/// xsave, xsaveopt, xsavec, xrstor and their 64-bit forms.
pub fn xstate(l: &mut Lifter, form: Form, wide: bool) -> Flow {
    let addr = l.ea();
    let code = l.b.c(Ty::I64, Request::code(form, wide));
    l.end(Term::Service { what: Service::Xstate, args: [addr, code], next: l.next })
}

/// lar (0), lsl (1), verr (2), verw (3): the environment has the descriptors.
pub fn descriptor(l: &mut Lifter, which: u64) -> Flow {
    let selector = l.read(if which < 2 { 1 } else { 0 });
    let selector = l.b.zext(Ty::I16, selector);
    let selector = l.b.zext(Ty::I64, selector);
    let r = l.insn.op_register(0);
    let code = if which < 2 { (r.number() as u64) << 8 | (8 * r.size() as u64) << 16 } else { 0 };
    let code = l.b.c(Ty::I64, which | code);
    l.end(Term::Service { what: Service::Descriptor, args: [selector, code], next: l.next })
}

/// rdrand, rdseed, rdpid: the environment writes the register.
pub fn into_register(l: &mut Lifter, what: Service) -> Flow {
    let r = l.insn.op_register(0);
    let number = l.b.c(Ty::I64, r.number() as u64);
    let width = l.b.c(Ty::I64, 8 * r.size() as u64);
    l.end(Term::Service { what, args: [number, width], next: l.next })
}

/// rdfsbase, rdgsbase.
pub fn read_base(l: &mut Lifter, segment: usize) -> Flow {
    let v = l.b.get(Ty::I64, Slot::seg_base(segment));
    let ty = l.ty(0);
    let v = l.b.zext(ty, v);
    l.write(0, v);
    Flow::Next
}

/// wrfsbase, wrgsbase: #GP when the address is not canonical.
pub fn write_base(l: &mut Lifter, segment: usize) -> Flow {
    let v = l.read(0);
    let v = l.b.zext(Ty::I64, v);
    let same = l.b.op_imm(Op::Sext, Ty::I64, &[v], 48);
    let bad = l.b.xor(v, same);
    l.b.op(Op::CheckGp, Ty::I64, &[bad]);
    l.b.set(Slot::seg_base(segment), v);
    Flow::Next
}

/// mfence, lfence, sfence.
pub fn fence(l: &mut Lifter, kind: u64) -> Flow {
    l.b.op_imm(Op::Fence, Ty::None, &[], kind);
    Flow::Next
}

/// clflush: touches its line like a load of one byte.
pub fn clflush(l: &mut Lifter) -> Flow {
    let addr = l.ea();
    l.b.ld(Ty::I8, addr, 0);
    Flow::Next
}

/// ldmxcsr: #GP for reserved bits.
pub fn ldmxcsr(l: &mut Lifter) -> Flow {
    let v = l.read(0);
    check_mxcsr(l, v);
    l.b.set(Slot::MXCSR, v);
    Flow::Next
}

/// Raises #GP when a bit outside [`MXCSR_MASK`] is set.
pub fn check_mxcsr(l: &mut Lifter, v: Val) {
    let bad = l.b.andi(v, u64::from(!MXCSR_MASK));
    let bad = l.b.zext(Ty::I64, bad);
    l.b.op(Op::CheckGp, Ty::I64, &[bad]);
}

/// The bits of MXCSR that may be set.
pub const MXCSR_MASK: u32 = 0xffff;

/// stmxcsr.
pub fn stmxcsr(l: &mut Lifter) -> Flow {
    let dst = l.place(0);
    let v = l.b.get(Ty::I32, Slot::MXCSR);
    l.store(dst, v);
    Flow::Next
}

/// smsw, sldt, str, sgdt, sidt: with UMIP, which Linux switches on, they fault for user code.
pub fn umip(l: &mut Lifter) -> Flow {
    l.fault(13)
}

/// fxsave, fxsave64 (SDM vol. 1, table 10-2).
pub fn fxsave(l: &mut Lifter, wide: bool) -> Flow {
    let attr = l.stack_attr();
    let addr = l.ea();
    check_aligned(l, addr);
    let last = first_checked(l, addr);
    l.b.op_imm(Op::ProbeW, Ty::I8, &[last], attr);
    l.b.op_imm(Op::ProbeW, Ty::I8, &[addr], attr);
    let put = |l: &mut Lifter, at: i64, v: Val| {
        let a = l.b.addi(addr, at);
        l.b.st(a, v, attr);
    };
    for (at, slot) in [(0, Slot::FCW), (2, Slot::FSW)] {
        let v = l.b.get(Ty::I16, slot);
        put(l, at, v);
    }
    // What FNSTENV stores, while an unmasked exception is pending, else 0: [`demotic_ir::state::X87::pending_pointers`].
    l.b.op(Op::XPtr, Ty::None, &[]);
    let status = l.b.get(Ty::I16, Slot::FSW);
    let es = l.b.andi(status, 0x80);
    let idle = l.b.is_zero(es);
    let pointer = |l: &mut Lifter, slot: Slot, ty: Ty| {
        let (v, none) = (l.b.get(ty, slot), l.b.c(ty, 0));
        l.b.sel(idle, none, v)
    };
    let fop = pointer(l, Slot::FOP, Ty::I16);
    put(l, 6, fop);
    let tag = l.b.get(Ty::I8, Slot::FTAG);
    let tag = l.b.zext(Ty::I16, tag);
    put(l, 4, tag);
    for (at, slot, sel) in [(8, Slot::FIP, Slot::FCS), (16, Slot::FDP, Slot::FDS)] {
        if wide {
            let v = pointer(l, slot, Ty::I64);
            put(l, at, v);
        } else {
            let v = pointer(l, slot, Ty::I32);
            put(l, at, v);
            let s = pointer(l, sel, Ty::I16);
            let s = l.b.zext(Ty::I32, s);
            put(l, at + 4, s);
        }
    }
    let mxcsr = l.b.get(Ty::I32, Slot::MXCSR);
    put(l, 24, mxcsr);
    let mask = l.b.c(Ty::I32, u64::from(MXCSR_MASK));
    put(l, 28, mask);
    for i in 0..8 {
        let f = l.b.op_imm(Op::XGetPhys, Ty::F80, &[], 8 + i);
        let v = l.b.op(Op::XBits, Ty::V128, &[f]);
        put(l, 32 + 16 * i as i64, v);
    }
    for i in 0..if l.long() { 16 } else { 8 } {
        let v = l.b.get(Ty::V128, Slot::xmm(i));
        put(l, 160 + 16 * i as i64, v);
    }
    Flow::Next
}

fn check_aligned(l: &mut Lifter, addr: Val) {
    let low = l.b.andi(addr, 15);
    l.b.op(Op::CheckGp, Ty::I64, &[low]);
}

/// The byte of an image of 512 that processors look at first: the last one, where the address of the first is canonical.
fn first_checked(l: &mut Lifter, addr: Val) -> Val {
    let last = l.b.addi(addr, 511);
    if !l.long() {
        return last;
    }
    let sixteen = l.b.c(Ty::I8, 16);
    let canonical = l.b.shli(addr, 16);
    let canonical = l.b.shift(Op::Sar, canonical, sixteen);
    let is_canonical = l.b.eq(canonical, addr);
    l.b.sel(is_canonical, last, addr)
}

/// fxrstor, fxrstor64.
pub fn fxrstor(l: &mut Lifter, wide: bool) -> Flow {
    let attr = l.stack_attr();
    let addr = l.ea();
    check_aligned(l, addr);
    let get = |l: &mut Lifter, at: i64, ty: Ty| {
        let a = l.b.addi(addr, at);
        l.b.ld(ty, a, attr)
    };
    let last = first_checked(l, addr);
    l.b.ld(Ty::I8, last, attr);
    let mut sets = Vec::new();
    for (at, slot, ty) in
        [(0, Slot::FCW, Ty::I16), (2, Slot::FSW, Ty::I16), (4, Slot::FTAG, Ty::I8), (6, Slot::FOP, Ty::I16)]
    {
        let mut v = get(l, at, ty);
        if slot == Slot::FCW {
            v = super::x87::control_word(l, v);
        }
        sets.push((slot, v));
    }
    for (at, slot, sel) in [(8, Slot::FIP, Slot::FCS), (16, Slot::FDP, Slot::FDS)] {
        if wide {
            // Addresses of 48 bits.
            let v = get(l, at, Ty::I64);
            let v = l.b.shli(v, 16);
            let sixteen = l.b.c(Ty::I8, 16);
            sets.push((slot, l.b.shift(Op::Sar, v, sixteen)));
        } else {
            let v = get(l, at, Ty::I32);
            sets.push((slot, l.b.zext(Ty::I64, v)));
            sets.push((sel, get(l, at + 4, Ty::I16)));
        }
    }
    let mxcsr = get(l, 24, Ty::I32);
    let st: Vec<Val> = (0..8).map(|i| get(l, 32 + 16 * i, Ty::V128)).collect();
    let xmm: Vec<Val> = (0..if l.long() { 16 } else { 8 }).map(|i| get(l, 160 + 16 * i, Ty::V128)).collect();
    check_mxcsr(l, mxcsr);
    sets.push((Slot::MXCSR, mxcsr));
    for (slot, v) in sets {
        l.b.set(slot, v);
    }
    for (i, v) in st.into_iter().enumerate() {
        let f = l.b.op(Op::XFrom, Ty::F80, &[v]);
        l.b.op_imm(Op::XSetPhys, Ty::F80, &[f], 8 + i as u64);
    }
    for (i, v) in xmm.into_iter().enumerate() {
        l.b.set(Slot::xmm(i), v);
    }
    super::x87::fixup(l);
    Flow::Next
}
