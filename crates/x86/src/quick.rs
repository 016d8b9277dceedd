//! The quick way for the usual instructions: a table of the opcodes that most instructions of compiled code have (96 of 100 in fzf).
//!
//! Decoding in general ([`iced_x86`]) and looking at operands through its interface costs more than everything else that lifting does. Here an
//! opcode says at once where its operands are, and goes to the same functions in [`crate::lift`] that its handler calls. Whatever is not in the
//! tables takes the general way: other opcodes, operand-size, address-size, lock and repeat prefixes, and bytes near the end of a
//! mapping. Both ways give the same IR, which a test compares.

use crate::lift::alu::{self, Kind};
use crate::lift::{Flow, Lifter, Memory, Place, branch, mov, shift, sse_int, stack};
use crate::unit::wrap;
use demotic_ir::block::{Indirect, Term, Val};
use demotic_ir::interp::ATTR_RMW;
use demotic_ir::ops::Op;
use demotic_ir::passes::flags::cond_reads;
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::{ARITH, CF};
use demotic_ir::state::{reg, seg};
use demotic_ir::ty::Ty;

/// What an opcode is, in the low bits of a table's entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
enum Class {
    /// Not here.
    None,
    /// add or adc sbb and sub xor cmp: r/m with r, r with r/m, accumulator with immediate.
    AluStore,
    AluLoad,
    AluAcc,
    /// The same, r/m with immediate.
    AluImm,
    Test,
    TestAcc,
    MovStore,
    MovLoad,
    /// mov register, immediate.
    MovImm,
    /// mov r/m, immediate.
    MovStoreImm,
    Lea,
    Push,
    Pop,
    PushImm,
    Jcc,
    Jmp,
    Call,
    Ret,
    /// inc dec of r/m, and with words call jmp push.
    Group4,
    Group5,
    /// test of r/m with immediate.
    Group3,
    /// Shifts of r/m by a constant.
    Shift,
    /// inc, dec of a register, in one byte.
    Inc,
    Movsxd,
    Movzx,
    Movsx,
    Cmov,
    Setcc,
    Nop,
    NopModrm,
    /// What linkers fill gaps with.
    Int3,
    /// movups, movaps.
    VectorLoad,
    VectorStore,
}

/// More of an entry: what follows the opcode, and whether operands are bytes.
const CLASS: u16 = 0x3f;
/// One byte.
const IMM8: u16 = 0x40;
/// Four bytes; eight for a move to a 64-bit register.
const IMM32: u16 = 0x100;
const MODRM: u16 = 0x200;
/// The operands are bytes.
const BYTES: u16 = 0x2000;
/// Only with a memory operand.
const MEMORY: u16 = 0x400;
/// Only in 64-bit code, and only in 32-bit code.
const LONG: u16 = 0x800;
const SHORT: u16 = 0x1000;

const CLASSES: [Class; 64] = {
    use Class::*;
    [
        None,
        AluStore,
        AluLoad,
        AluAcc,
        AluImm,
        Test,
        TestAcc,
        MovStore,
        MovLoad,
        MovImm,
        MovStoreImm,
        Lea,
        Push,
        Pop,
        PushImm,
        Jcc,
        Jmp,
        Call,
        Ret,
        Group4,
        Group5,
        Group3,
        Shift,
        Inc,
        Movsxd,
        Movzx,
        Movsx,
        Cmov,
        Setcc,
        Nop,
        NopModrm,
        Int3,
        VectorLoad,
        VectorStore,
        // Up to a power of two.
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
    ]
};

/// The values of ModRM's middle field that a class has, one bit for each.
const FIELDS: [u8; 64] = {
    let mut t = [0xff; 64];
    t[Class::None as usize] = 0;
    t[Class::MovStoreImm as usize] = 1;
    t[Class::NopModrm as usize] = 1;
    t[Class::Group3 as usize] = 1;
    t[Class::Group4 as usize] = 0b11;
    t[Class::Group5 as usize] = 0b101_0111;
    t[Class::Shift as usize] = 0b1011_0000;
    t
};

/// One-byte opcodes.
const ONE: [u16; 256] = {
    use Class::*;
    let mut t = [0u16; 256];
    let mut op = 0;
    while op < 0x40 {
        t[op] = AluStore as u16 | MODRM | BYTES;
        t[op + 1] = AluStore as u16 | MODRM;
        t[op + 2] = AluLoad as u16 | MODRM | BYTES;
        t[op + 3] = AluLoad as u16 | MODRM;
        t[op + 4] = AluAcc as u16 | IMM8 | BYTES;
        t[op + 5] = AluAcc as u16 | IMM32;
        op += 8;
    }
    let mut n = 0;
    while n < 16 {
        t[0x40 + n] = Inc as u16 | SHORT;
        t[0x50 + n] = if n < 8 { Push as u16 } else { Pop as u16 };
        t[0x70 + n] = Jcc as u16 | IMM8;
        t[0xb0 + n] = if n < 8 { MovImm as u16 | IMM8 | BYTES } else { MovImm as u16 | IMM32 };
        n += 1;
    }
    t[0x63] = Movsxd as u16 | MODRM | LONG;
    t[0x68] = PushImm as u16 | IMM32;
    t[0x6a] = PushImm as u16 | IMM8;
    t[0x80] = AluImm as u16 | MODRM | IMM8 | BYTES;
    t[0x81] = AluImm as u16 | MODRM | IMM32;
    t[0x83] = AluImm as u16 | MODRM | IMM8;
    t[0x84] = Test as u16 | MODRM | BYTES;
    t[0x85] = Test as u16 | MODRM;
    t[0x88] = MovStore as u16 | MODRM | BYTES;
    t[0x89] = MovStore as u16 | MODRM;
    t[0x8a] = MovLoad as u16 | MODRM | BYTES;
    t[0x8b] = MovLoad as u16 | MODRM;
    t[0x8d] = Lea as u16 | MODRM | MEMORY;
    t[0x90] = Nop as u16;
    t[0xa8] = TestAcc as u16 | IMM8 | BYTES;
    t[0xa9] = TestAcc as u16 | IMM32;
    t[0xc0] = Shift as u16 | MODRM | IMM8 | BYTES;
    t[0xc1] = Shift as u16 | MODRM | IMM8;
    t[0xc3] = Ret as u16;
    t[0xcc] = Int3 as u16;
    t[0xc6] = MovStoreImm as u16 | MODRM | IMM8 | BYTES;
    t[0xc7] = MovStoreImm as u16 | MODRM | IMM32;
    t[0xe8] = Call as u16 | IMM32;
    t[0xe9] = Jmp as u16 | IMM32;
    t[0xeb] = Jmp as u16 | IMM8;
    t[0xf6] = Group3 as u16 | MODRM | IMM8 | BYTES;
    t[0xf7] = Group3 as u16 | MODRM | IMM32;
    t[0xfe] = Group4 as u16 | MODRM | BYTES;
    t[0xff] = Group5 as u16 | MODRM;
    t
};

/// Opcodes behind 0f.
const TWO: [u16; 256] = {
    use Class::*;
    let mut t = [0u16; 256];
    let mut n = 0;
    while n < 16 {
        t[0x40 + n] = Cmov as u16 | MODRM;
        t[0x80 + n] = Jcc as u16 | IMM32;
        t[0x90 + n] = Setcc as u16 | MODRM | BYTES;
        n += 1;
    }
    t[0x10] = VectorLoad as u16 | MODRM;
    t[0x11] = VectorStore as u16 | MODRM;
    t[0x1f] = NopModrm as u16 | MODRM;
    t[0x28] = VectorLoad as u16 | MODRM;
    t[0x29] = VectorStore as u16 | MODRM;
    t[0xb6] = Movzx as u16 | MODRM;
    t[0xb7] = Movzx as u16 | MODRM;
    t[0xbe] = Movsx as u16 | MODRM;
    t[0xbf] = Movsx as u16 | MODRM;
    t
};

/// Both.
const TABLE: [u16; 512] = {
    let mut t = [0; 512];
    let mut n = 0;
    while n < 256 {
        t[n] = ONE[n];
        t[n + 256] = TWO[n];
        n += 1;
    }
    t
};

const KINDS: [Kind; 8] = [Kind::Add, Kind::Or, Kind::Adc, Kind::Sbb, Kind::And, Kind::Sub, Kind::Xor, Kind::Cmp];

/// No register, in [`Insn::base`] and [`Insn::index`].
const ABSENT: u8 = 0xff;
/// The instruction pointer, in [`Insn::base`].
const RIP: u8 = 0xfe;

/// A decoded instruction.
#[derive(Clone, Debug)]
pub(crate) struct Insn {
    class: Class,
    opcode: u8,
    /// Width of the operands.
    ty: Ty,
    /// Length in bytes.
    pub len: u8,
    /// Whether there is a REX prefix: then byte registers 4 to 7 are low bytes.
    rex: bool,
    reg: u8,
    /// Number of the register operand when it is one.
    rm: u8,
    memory: bool,
    base: u8,
    index: u8,
    scale: u8,
    /// Number of FS or GS when the operand goes through it.
    segment: u8,
    disp: i32,
    imm: i64,
}

/// Bytes looked at: no instruction of the tables is longer.
pub(crate) const BYTES_SEEN: usize = 16;

impl Insn {
    /// None yet.
    pub(crate) const NONE: Insn = Insn {
        class: Class::None,
        opcode: 0,
        ty: Ty::I8,
        len: 0,
        rex: false,
        reg: 0,
        rm: 0,
        memory: false,
        base: ABSENT,
        index: ABSENT,
        scale: 0,
        segment: 0,
        disp: 0,
        imm: 0,
    };
}

/// Whether the instruction at the beginning of `code` is one of the usual ones of 64-bit or else 32-bit code; then it is in `insn`, where what it
/// does not have is left from others.
#[inline]
pub(crate) fn decode(insn: &mut Insn, code: &[u8; BYTES_SEEN], long: bool) -> bool {
    let byte = |i: usize| code[i & (BYTES_SEEN - 1)];
    // Everything ends before the bytes do: the bound is for the compiler.
    let word = |i: usize| code[i.min(BYTES_SEEN - 4)..].first_chunk().map_or(0, |w| i32::from_le_bytes(*w));
    let mut at = 0;
    let mut opcode = byte(0);
    let mut segment = 0;
    if opcode & 0xfe == 0x64 {
        segment = opcode - 0x64 + seg::FS as u8;
        at = 1;
        opcode = byte(1);
    }
    let mut rex = 0;
    if long && opcode & 0xf0 == 0x40 {
        rex = opcode;
        at += 1;
        opcode = byte(at);
    }
    at += 1;
    let mut table = 0;
    if opcode == 0x0f {
        table = 256;
        opcode = byte(at);
        at += 1;
    }
    let entry = TABLE[table | usize::from(opcode)];
    let class = CLASSES[usize::from(entry & CLASS)];
    let wide = rex & 8 != 0;
    let ty = if wide { Ty::I64 } else { Ty::I32 };
    let ty = if entry & BYTES != 0 { Ty::I8 } else { ty };
    (insn.class, insn.opcode, insn.ty, insn.segment) = (class, opcode, ty, segment);
    insn.rex = rex != 0;
    insn.reg = opcode & 7 | (rex & 1) << 3;
    insn.memory = false;
    // What an entry has beside the forms that are lifted here.
    let mut fields = FIELDS[usize::from(entry & CLASS)];
    if entry & MODRM != 0 {
        let modrm = byte(at);
        at += 1;
        let low = modrm & 7;
        fields = fields >> (modrm >> 3 & 7) & 1;
        insn.reg = modrm >> 3 & 7 | (rex & 4) << 1;
        insn.rm = low | (rex & 1) << 3;
        if modrm < 0xc0 {
            insn.memory = true;
            (insn.index, insn.disp) = (ABSENT, 0);
            let mut base = low;
            if low == 4 {
                let sib = byte(at);
                at += 1;
                base = sib & 7;
                let index = sib >> 3 & 7 | (rex & 2) << 2;
                insn.index = if index == 4 { ABSENT } else { index };
                insn.scale = sib >> 6;
            }
            let displaced = (modrm < 0x40) & (base == 5);
            insn.base = base | (rex & 1) << 3;
            if displaced {
                insn.base = if long && low == 5 { RIP } else { ABSENT };
            }
            if modrm & 0xc0 == 0x40 {
                insn.disp = i32::from(byte(at) as i8);
                at += 1;
            } else if modrm >= 0x80 || displaced {
                insn.disp = word(at);
                at += 4;
            }
        }
    }
    if entry & IMM8 != 0 {
        insn.imm = i64::from(byte(at) as i8);
        at += 1;
    } else if entry & IMM32 != 0 {
        insn.imm = i64::from(word(at));
        at += 4;
        if class == Class::MovImm && wide {
            insn.imm = insn.imm & 0xffff_ffff | i64::from(word(at)) << 32;
            at += 4;
        }
    }
    insn.len = at as u8;
    let mode = entry & if long { SHORT } else { LONG } == 0;
    let operand = insn.memory | (entry & MEMORY == 0);
    let nop = (class != Class::Nop) | ((rex & 1 == 0) & (segment == 0));
    (fields != 0) & mode & operand & nop
}

/// The place of a register by its number in the encoding.
#[inline]
fn register(insn: &Insn, n: u8, ty: Ty) -> Place {
    if ty == Ty::I8 && !insn.rex && n >= 4 { Place::High(usize::from(n & 3)) } else { Place::Gpr(usize::from(n), ty) }
}

/// Reads a register.
#[inline]
fn get(l: &mut Lifter, insn: &Insn, n: u8, ty: Ty) -> Val {
    match ty {
        Ty::I8 => l.load(register(insn, n, ty)),
        _ => l.gpr(usize::from(n), ty),
    }
}

/// Reads the operand that may be in memory.
#[inline]
fn read(l: &mut Lifter, insn: &Insn, ty: Ty) -> Val {
    if !insn.memory {
        return get(l, insn, insn.rm, ty);
    }
    let (addr, attr) = address(l, insn, ty);
    l.b.ld(ty, addr, attr)
}

/// Writes a register.
#[inline]
fn put(l: &mut Lifter, insn: &Insn, n: u8, v: Val) -> Flow {
    match insn.ty {
        Ty::I8 => l.store(register(insn, n, Ty::I8), v),
        ty => l.b.set_as(ty, Slot::gpr(usize::from(n)), v),
    }
    Flow::Next
}

/// The memory operand.
#[inline]
fn memory(l: &Lifter, insn: &Insn) -> Memory {
    let present = |n: u8| (n < 16).then_some(usize::from(n));
    let disp = i64::from(insn.disp) as u64;
    let fixed = (insn.base == RIP).then(|| l.next.wrapping_add(disp));
    Memory {
        ty: if l.long() { Ty::I64 } else { Ty::I32 },
        fixed,
        base: present(insn.base),
        index: present(insn.index).map(|n| (n, u32::from(insn.scale))),
        disp,
    }
}

/// Computes the address of the operand in memory; with its attributes.
fn address(l: &mut Lifter, insn: &Insn, ty: Ty) -> (Val, u64) {
    let m = memory(l, insn);
    let offset = l.offset(m);
    let addr = l.based(usize::from(insn.segment), offset, ty.bytes());
    let stack = insn.segment == 0 && matches!(usize::from(insn.base), reg::RSP | reg::RBP);
    (addr, if stack { demotic_ir::interp::ATTR_STACK } else { 0 })
}

/// The place of the operand that may be in memory. Computes its address.
#[inline]
fn place(l: &mut Lifter, insn: &Insn, ty: Ty) -> Place {
    if !insn.memory {
        return register(insn, insn.rm, ty);
    }
    let (addr, attr) = address(l, insn, ty);
    Place::Mem(addr, ty, attr)
}

/// The same, read and then written.
#[inline]
fn place_rw(l: &mut Lifter, insn: &Insn) -> Place {
    match place(l, insn, insn.ty) {
        Place::Mem(addr, ty, attr) => Place::Mem(addr, ty, attr | ATTR_RMW),
        p => p,
    }
}

/// Lifts it; the lifter's `next` is the address behind it. Whether the block goes on there; it is ended otherwise.
pub(crate) fn lift(l: &mut Lifter, insn: &Insn) -> bool {
    match meaning(l, insn) {
        Flow::Next => true,
        Flow::End => false,
        // None of the tables' instructions comes here; it would be one that is not known.
        Flow::Undefined | Flow::Unimplemented => {
            l.b.unmark();
            l.b.end(Term::Unimplemented { pc: l.pc }, l.pc);
            false
        }
    }
}

#[inline(always)]
fn meaning(l: &mut Lifter, insn: &Insn) -> Flow {
    let ty = insn.ty;
    let imm = insn.imm as u64;
    let kind = KINDS[usize::from(insn.opcode >> 3 & 7)];
    let target = || wrap(l.mode, l.next.wrapping_add(imm));
    match insn.class {
        Class::None => Flow::Unimplemented,
        Class::AluStore => {
            let dst = if kind == Kind::Cmp { place(l, insn, ty) } else { place_rw(l, insn) };
            alu::plain(l, kind, ty, dst, |l| get(l, insn, insn.reg, ty))
        }
        Class::AluLoad => alu::plain(l, kind, ty, register(insn, insn.reg, ty), |l| read(l, insn, ty)),
        Class::AluAcc => alu::plain(l, kind, ty, Place::Gpr(reg::RAX, ty), |l| l.b.c(ty, imm)),
        Class::AluImm => {
            let kind = KINDS[usize::from(insn.reg & 7)];
            let dst = if kind == Kind::Cmp { place(l, insn, ty) } else { place_rw(l, insn) };
            alu::plain(l, kind, ty, dst, |l| l.b.c(ty, imm))
        }
        Class::Test => {
            let dst = place(l, insn, ty);
            alu::plain(l, Kind::Test, ty, dst, |l| get(l, insn, insn.reg, ty))
        }
        Class::TestAcc => alu::plain(l, Kind::Test, ty, Place::Gpr(reg::RAX, ty), |l| l.b.c(ty, imm)),
        Class::Group3 => {
            let dst = place(l, insn, ty);
            alu::plain(l, Kind::Test, ty, dst, |l| l.b.c(ty, imm))
        }
        Class::MovStore => {
            if !insn.memory {
                let v = get(l, insn, insn.reg, ty);
                return put(l, insn, insn.rm, v);
            }
            let (addr, attr) = address(l, insn, ty);
            let v = get(l, insn, insn.reg, ty);
            l.b.st_as(ty, addr, v, attr);
            Flow::Next
        }
        Class::MovLoad => {
            let v = read(l, insn, ty);
            put(l, insn, insn.reg, v)
        }
        Class::MovImm => {
            let v = l.b.c(ty, imm);
            put(l, insn, insn.reg, v)
        }
        Class::MovStoreImm => {
            let dst = place(l, insn, ty);
            let v = l.b.c(ty, imm);
            l.store(dst, v);
            Flow::Next
        }
        Class::Lea => {
            let m = memory(l, insn);
            let v = l.offset(m);
            let v = l.b.zext(ty, v);
            put(l, insn, insn.reg, v)
        }
        Class::Push => {
            let v = l.gpr(usize::from(insn.reg), l.word());
            stack::push_val(l, v);
            Flow::Next
        }
        Class::Pop => stack::pop_register(l, l.word(), usize::from(insn.reg)),
        Class::PushImm => {
            let v = l.b.c(l.word(), imm);
            stack::push_val(l, v);
            Flow::Next
        }
        Class::Jcc => {
            let target = target();
            branch::conditional(l, insn.opcode & 15, target)
        }
        Class::Jmp => l.end(branch::jump_to(target())),
        Class::Call => {
            let target = target();
            branch::call_to(l, target)
        }
        Class::Ret => branch::return_beyond(l, 0),
        Class::Inc => {
            let n = insn.opcode & 7;
            alu::step(l, insn.opcode & 8 != 0, Place::Gpr(usize::from(n), ty), ty)
        }
        Class::Group4 | Class::Group5 if insn.reg & 7 < 2 => {
            let dst = place_rw(l, insn);
            alu::step(l, insn.reg & 7 == 1, dst, ty)
        }
        Class::Group4 | Class::Group5 => {
            let word = l.word();
            let p = place(l, insn, word);
            let v = l.load(p);
            if insn.reg & 7 == 6 {
                stack::push_val(l, v);
                return Flow::Next;
            }
            let target = l.b.zext(Ty::I64, v);
            if insn.reg & 7 == 2 {
                return branch::call_through(l, target);
            }
            l.end(Term::Indirect { target, kind: Indirect::Jump, ret: None })
        }
        Class::Shift => {
            let (op, fl) = match insn.reg & 7 {
                4 => (Op::Shl, Op::FlShl),
                5 => (Op::Shr, Op::FlShr),
                _ => (Op::Sar, Op::FlSar),
            };
            let dst = place_rw(l, insn);
            shift::plain(l, op, fl, dst, ty, |l| shift::constant(l, ty, imm))
        }
        Class::Movsxd => {
            let v = read(l, insn, Ty::I32);
            let v = l.b.sext(ty, v);
            put(l, insn, insn.reg, v)
        }
        Class::Movzx | Class::Movsx => {
            let v = read(l, insn, if insn.opcode & 1 == 0 { Ty::I8 } else { Ty::I16 });
            let v = if insn.class == Class::Movzx { l.b.zext(ty, v) } else { l.b.sext(ty, v) };
            put(l, insn, insn.reg, v)
        }
        Class::Cmov => {
            let src = read(l, insn, ty);
            mov::move_if(l, insn.opcode & 15, Place::Gpr(usize::from(insn.reg), ty), src)
        }
        Class::Setcc => {
            let dst = place(l, insn, Ty::I8);
            mov::set_if(l, insn.opcode & 15, dst)
        }
        Class::Nop | Class::NopModrm => Flow::Next,
        Class::Int3 => branch::int(l, 3),
        Class::VectorLoad | Class::VectorStore => {
            let other = if insn.memory { place(l, insn, Ty::V128) } else { Place::Xmm(usize::from(insn.rm)) };
            let register = Place::Xmm(usize::from(insn.reg));
            let aligned = insn.opcode & 0xf0 == 0x20;
            let (to, from) = if insn.class == Class::VectorLoad { (register, other) } else { (other, register) };
            sse_int::copy(l, to, from, aligned)
        }
    }
}

/// Where control goes behind an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Next,
    Jump,
    /// To the target or straight on.
    Either,
    Call,
    Return,
    /// To a computed address.
    Indirect,
}

/// What [`crate::ahead`] asks of an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Look {
    /// Flags that it reads, and that it always overwrites.
    pub reads: u32,
    pub writes: u32,
    /// Whether it accesses memory.
    pub memory: bool,
    pub way: Way,
    /// What is added to the address behind it.
    pub distance: u64,
}

/// What an instruction does to the flags, and where it goes.
pub(crate) fn look(insn: &Insn) -> Look {
    let all = (0, ARITH);
    let kind = |kind: Kind| match kind {
        Kind::Adc | Kind::Sbb => (CF, ARITH),
        _ => all,
    };
    let condition = (cond_reads(u64::from(insn.opcode & 15)), 0);
    let stack = true;
    let (memory, way, (reads, writes)) = match insn.class {
        Class::AluStore | Class::AluLoad | Class::AluAcc => {
            (insn.memory, Way::Next, kind(KINDS[usize::from(insn.opcode >> 3 & 7)]))
        }
        Class::AluImm => (insn.memory, Way::Next, kind(KINDS[usize::from(insn.reg & 7)])),
        Class::Test | Class::TestAcc | Class::Group3 => (insn.memory, Way::Next, all),
        Class::Shift => {
            let count = insn.imm as u64 & if insn.ty == Ty::I64 { 63 } else { 31 };
            (insn.memory, Way::Next, if count == 0 { (0, 0) } else { all })
        }
        Class::Inc => (false, Way::Next, (0, ARITH & !CF)),
        Class::Group4 | Class::Group5 => match insn.reg & 7 {
            0 | 1 => (insn.memory, Way::Next, (0, ARITH & !CF)),
            6 => (stack, Way::Next, (0, 0)),
            n => (insn.memory | (n == 2), Way::Indirect, (0, 0)),
        },
        Class::Push | Class::Pop | Class::PushImm => (stack, Way::Next, (0, 0)),
        Class::Call => (stack, Way::Call, (0, 0)),
        Class::Ret => (stack, Way::Return, (0, 0)),
        Class::Jcc => (false, Way::Either, condition),
        Class::Jmp => (false, Way::Jump, (0, 0)),
        Class::Cmov | Class::Setcc => (insn.memory, Way::Next, condition),
        Class::None | Class::Lea | Class::Nop | Class::NopModrm => (false, Way::Next, (0, 0)),
        Class::MovStore
        | Class::MovLoad
        | Class::MovImm
        | Class::MovStoreImm
        | Class::Movsxd
        | Class::Movzx
        | Class::Movsx
        | Class::VectorLoad
        | Class::VectorStore => (insn.memory, Way::Next, (0, 0)),
        // Everything may be looked at there.
        Class::Int3 => (false, Way::Next, (ARITH, 0)),
    };
    Look { reads, writes, memory, way, distance: insn.imm as u64 }
}

#[cfg(test)]
mod tests {
    use crate::unit::{Limits, Reader};
    use demotic_ir::block::Block;
    use demotic_ir::state::Mode;

    const PC: u64 = 0x40_1000;

    fn lift(reader: &mut Reader, block: &mut Block, mode: Mode, code: &[u8]) {
        let mut fetch = |at: u64, buf: &mut [u8]| {
            let rest = at.checked_sub(PC).and_then(|o| code.get(o as usize..)).unwrap_or_default();
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            n
        };
        let limits = Limits { instructions: 2, ..Limits::SINGLE };
        reader.block(block, PC, mode, &limits, &mut fetch);
    }

    /// Every opcode with every ModRM byte behind the prefixes that the tables know, and what they do not know.
    #[test]
    fn both_ways_give_the_same() {
        let (mut quick, mut general) = (Reader::default(), Reader::general());
        let (mut a, mut b) = (Block::new(0), Block::new(0));
        let mut insn = super::Insn::NONE;
        let mut seed = 1u64;
        let mut usual = 0;
        // The same on every host, and ARM ones may be emulated: there every thirteenth.
        let step = if cfg!(target_arch = "x86_64") { 1 } else { 13 };
        let rex: Vec<Vec<u8>> = (0x40..0x50).map(|n| vec![n]).collect();
        let others =
            [&[][..], &[], &[0x64], &[0x65, 0x48], &[0x65, 0x43], &[0x66], &[0xf3], &[0x48, 0x64], &[0x67], &[0x2e]];
        for mode in [Mode::Long, Mode::Compat32, Mode::Compat16] {
            for prefix in others.iter().copied().chain(rex.iter().map(|r| &r[..])) {
                for opcode in 0..512u32 {
                    for modrm in ((opcode % step) as u8..=255).step_by(step as usize) {
                        let mut code = [0u8; 48];
                        for byte in &mut code {
                            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                            *byte = (seed >> 33) as u8;
                        }
                        let mut at = prefix.len();
                        code[..at].copy_from_slice(prefix);
                        if opcode > 0xff {
                            code[at] = 0x0f;
                            at += 1;
                        }
                        code[at] = opcode as u8;
                        code[at + 1] = modrm;
                        lift(&mut quick, &mut a, mode, &code);
                        lift(&mut general, &mut b, mode, &code);
                        assert_eq!(a, b, "{mode:?} {code:02x?}");
                        let head = code.first_chunk().expect("long enough");
                        usual += u32::from(super::decode(&mut insn, head, mode == Mode::Long));
                    }
                }
            }
        }
        assert!(usual > 1_000_000 / step, "{usual}");
    }
}
