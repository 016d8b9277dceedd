//! Memory accesses of which only some lanes count, and those of two vectors at once.
//!
//! Lanes that do not count are not touched. Stores are all or nothing: whoever stores several vectors asks for the faults of all of them before the
//! first ([`Op::ProbeMask`]); [`Op::StPair`] does that itself, where a page ends inside.

use super::vector::{lane, with_lane};
use super::{ATTR_ALIGN16, ATTR_STACK, Memory, Scratch, Trap, V, load, probe, store};
use crate::block::Inst;
use crate::ops::Op;
use crate::ty::Ty;

/// Numbers of the lanes whose sign bit is set.
fn chosen(ty: Ty, mask: V) -> impl Iterator<Item = u32> {
    (0..128 / ty.bits()).filter(move |&n| lane(ty, mask, n) >> (ty.bits() - 1) & 1 != 0)
}

/// Executes one of the operations.
pub(super) fn run<M: Memory>(inst: &Inst, mem: &mut M, s: &Scratch) -> Result<V, Trap> {
    let [addr, b, c] = [0, 1, 2].map(|k| s.get(inst.args[k]));
    let (ty, at, attr) = (inst.ty, addr.lo, inst.imm & 0xff & !ATTR_ALIGN16);
    let place = |n: u32| at.wrapping_add(u64::from(n * ty.bytes()));
    match inst.op {
        Op::LdLane => {
            let n = (inst.imm >> 8) as u32;
            return match chosen(ty, b).any(|k| k == n) {
                true => Ok(with_lane(ty, c, n, load(mem, ty, at, attr)?.lo)),
                false => Ok(c),
            };
        }
        Op::LdMask => {
            return chosen(ty, b)
                .try_fold(V::default(), |r, n| Ok(with_lane(ty, r, n, load(mem, ty, place(n), attr)?.lo)));
        }
        Op::ProbeMask => chosen(ty, b).try_for_each(|n| probe(mem, place(n), ty.bytes(), attr & ATTR_STACK))?,
        Op::StMask => {
            chosen(ty, c).try_for_each(|n| store(mem, ty, place(n), V::from(lane(ty, b, n)), attr))?;
        }
        _ => {
            let halves = [(at, b), (at.wrapping_add(16), c)];
            let all = if at & 0xfff > 0x1000 - 32 {
                (0..4).try_for_each(|n| probe(mem, at.wrapping_add(8 * n), 8, attr & ATTR_STACK))
            } else {
                Ok(())
            };
            if let Err(t) = all.and_then(|()| halves.iter().try_for_each(|&(at, v)| store(mem, Ty::V128, at, v, attr)))
            {
                // A part beyond the limit is noticed before a missing page.
                let beyond = load(mem, Ty::V128, halves[1].0, attr).err().filter(|t| t.vector != 14);
                return Err(beyond.unwrap_or(t));
            }
        }
    }
    Ok(V::default())
}
