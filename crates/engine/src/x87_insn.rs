//! x87 instructions that translated code on AArch64 has no fast way for, executed as a whole on state that is live there.
//!
//! The operations are the interpreter's, in the order in which the lifter (`x86::lift::x87`) has them; `tests/x87.rs` compares the two. With all exceptions
//! masked, which live state implies, nothing here can trap.

use crate::memory::GuestMemory;
use demotic_codegen::frame::Frame;
use demotic_codegen::x87::{From, Insn};
use demotic_ir::block::{Inst, Val};
use demotic_ir::interp::{self, Scratch, V};
use demotic_ir::ops::{Op, X87Fn};
use demotic_ir::state::GuestState;
use demotic_ir::ty::Ty;

/// Bit of the second byte that asks for what a store to memory is to store, without any effect.
const IMAGE: u8 = 0x40;
/// The same for the effects, after the store.
const COMMIT: u8 = 0x20;

struct Ops<'a> {
    state: &'a mut GuestState,
    memory: &'a mut GuestMemory,
    scratch: &'a mut Scratch,
}

impl Ops<'_> {
    fn op(&mut self, op: Op, ty: Ty, imm: u64, args: &[V]) -> V {
        let inst = Inst { op, ty, args: [Val::NONE; 4], imm };
        let mut four = [V::default(); 4];
        four[..args.len()].copy_from_slice(args);
        interp::run_op(&inst, &four, self.state, self.memory, self.scratch).unwrap_or_default()
    }

    fn st(&mut self, i: u8) -> V {
        self.op(Op::XGet, Ty::F80, u64::from(i), &[])
    }

    fn set(&mut self, i: u8, v: V) {
        self.op(Op::XSet, Ty::F80, u64::from(i), &[v]);
    }

    fn pop(&mut self, imm: u64) {
        self.op(Op::XPop, Ty::None, imm, &[]);
    }

    fn function(&mut self, f: X87Fn) {
        self.op(Op::XFn, Ty::None, f as u64, &[]);
    }

    fn operand(&mut self, from: From, raw: V, of_arithmetic: bool) -> V {
        match from {
            From::St(i) => self.st(i),
            From::Real(Ty::F80) => V { lo: raw.lo, hi: raw.hi & 0xffff },
            From::Real(ty) => self.op(Op::XFromF, ty, u64::from(of_arithmetic), &[V::from(raw.lo & ty.mask())]),
            From::Int(ty) => self.op(Op::XFromInt, Ty::F80, u64::from(ty.bits()), &[V::from(raw.lo & ty.mask())]),
        }
    }

    fn run(&mut self, insn: Insn, phase: u8, raw: V) -> V {
        if phase == IMAGE {
            let v = self.op(Op::XPeek, Ty::F80, 0, &[]);
            return match insn {
                Insn::Store { ty, .. } => self.op(Op::XToF, ty, 0, &[v]),
                Insn::StoreInt { ty, truncates, .. } => self.op(Op::XToInt, ty, u64::from(truncates), &[v]),
                _ => v,
            };
        }
        self.op(Op::XChk, Ty::None, 0, &[]);
        match insn {
            // Code gives up where a control word is not such that the state stays live.
            Insn::Wait | Insn::LoadControl => {}
            Insn::Load(from) => {
                if !matches!(from, From::St(_)) {
                    self.function(X87Fn::WillPush);
                }
                let v = self.operand(from, raw, false);
                self.op(Op::XPush, Ty::F80, 0, &[v]);
            }
            Insn::Store { ty, pops } => {
                let v = self.st(0);
                self.op(Op::XToFC, ty, 0, &[v]);
                if pops {
                    self.pop(1);
                }
            }
            Insn::StoreInt { ty, truncates, pops } => {
                let v = self.st(0);
                self.op(Op::XToIntC, ty, u64::from(truncates), &[v]);
                if pops {
                    self.pop(1);
                }
            }
            Insn::StoreSt { to, pops } => {
                let v = self.st(0);
                self.function(X87Fn::ClearC1);
                self.set(to, v);
                if pops {
                    self.pop(0);
                }
            }
            Insn::Arith { op, reversed, to, from, pops } => {
                let a = self.st(to);
                let b = self.operand(from, raw, true);
                let (x, y) = if reversed { (b, a) } else { (a, b) };
                let r = self.op(op, Ty::F80, 0, &[x, y]);
                self.set(to, r);
                if pops {
                    self.pop(0);
                }
            }
            Insn::Compare { quiet, with, pops, flags } => {
                let a = self.st(0);
                let b = self.operand(with, raw, true);
                let fl = self.op(Op::XCmp, Ty::F80, u64::from(quiet), &[a, b]);
                if !flags {
                    self.op(Op::XSetCc, Ty::None, 0, &[fl]);
                }
                (0..pops).for_each(|_| self.pop(0));
                return fl;
            }
            Insn::Exchange(i) => {
                self.op(Op::XFn, Ty::None, X87Fn::Fxch0 as u64 + u64::from(i), &[]);
            }
            Insn::Function(f) => self.function(f),
        }
        V::default()
    }
}

/// See [`demotic_codegen::frame::X87_INSN`].
pub(crate) fn run(frame: &mut Frame, memory: &mut GuestMemory, scratch: &mut Scratch, what: u64, change: u64) {
    let (op, code) = ((what >> 8) as u8, what as u8);
    let phase = if code < 0x80 { code & (IMAGE | COMMIT) } else { 0 };
    let Some(insn) = Insn::decode(op, code & !phase) else { return };
    let raw = frame.args[0];
    frame.x87.open(change, &mut frame.state.x87);
    frame.result = Ops { state: &mut frame.state, memory, scratch }.run(insn, phase, raw);
    if phase != IMAGE {
        frame.x87.close(&frame.state.x87);
    }
}
