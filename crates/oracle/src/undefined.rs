//! The one list of what the manuals leave undefined, and so is not compared.

use crate::case::{Case, Outcome};
use demotic_ir::state::Mode;
use demotic_ir::state::eflags::{AF, CF, OF, PF, SF, ZF};
use iced_x86::{FlowControl, Instruction, Mnemonic as M};
#[cfg(target_arch = "x86_64")]
use std::sync::LazyLock;

/// Flags that are undefined after `insn` (SDM vol. 2, the instruction's "Flags Affected").
pub fn flags(insn: &Instruction, case: &Case) -> u32 {
    let width = insn.op_register(0).size().max(insn.memory_size().size()) as u32 * 8;
    let count = || {
        let last = insn.op_count().saturating_sub(1);
        let n = insn.try_immediate(last).unwrap_or(case.state.gpr[1]) as u32;
        n & if width == 64 { 63 } else { 31 }
    };
    let beyond_one = |f: u32| if count() > 1 { f } else { 0 };
    match insn.mnemonic() {
        M::And | M::Or | M::Xor | M::Test => AF,
        M::Shl | M::Sal | M::Shr => AF | beyond_one(OF) | if count() >= width { CF } else { 0 },
        M::Sar => AF | beyond_one(OF),
        M::Rol | M::Ror | M::Rcl | M::Rcr => beyond_one(OF),
        M::Shld | M::Shrd if count() > width => CF | PF | AF | ZF | SF | OF,
        M::Shld | M::Shrd => AF | beyond_one(OF),
        M::Mul | M::Imul => SF | ZF | AF | PF,
        M::Div | M::Idiv => CF | PF | AF | ZF | SF | OF,
        M::Bsf | M::Bsr => CF | OF | SF | AF | PF,
        M::Bt | M::Bts | M::Btr | M::Btc => OF | SF | AF | PF,
        M::Aaa | M::Aas => OF | SF | ZF | PF,
        M::Daa | M::Das => OF,
        M::Aam | M::Aad => OF | AF | CF,
        M::Andn | M::Blsi | M::Blsr | M::Blsmsk | M::Bzhi => AF | PF,
        M::Bextr => AF | PF | SF,
        M::Lzcnt | M::Tzcnt => OF | SF | PF | AF,
        _ => 0,
    }
}

/// Whether the destination of `insn` is undefined in this case.
pub fn destination(insn: &Instruction, case: &Case) -> bool {
    match insn.mnemonic() {
        M::Shld | M::Shrd => {
            let n = insn.try_immediate(2).unwrap_or(case.state.gpr[1]) as u32 & 31;
            insn.op_register(1).size() == 2 && n > 16
        }
        // 16-bit operands: documented as undefined.
        M::Bswap => insn.op_register(0).size() == 2,
        _ => false,
    }
}

/// Whether the results of `insn` are approximations that differ between processors (checked for accuracy elsewhere).
pub fn approximate(insn: &Instruction) -> bool {
    matches!(
        insn.mnemonic(),
        M::Rcpss
            | M::Rcpps
            | M::Rsqrtss
            | M::Rsqrtps
            | M::Vrcpss
            | M::Vrcpps
            | M::Vrsqrtss
            | M::Vrsqrtps
            | M::Fsin
            | M::Fcos
            | M::Fsincos
            | M::Fptan
            | M::Fpatan
            | M::F2xm1
            | M::Fyl2x
            | M::Fyl2xp1
    )
}

/// Loads and stores of chosen elements.
fn masked(m: M) -> bool {
    matches!(m, M::Vmaskmovps | M::Vmaskmovpd | M::Vpmaskmovd | M::Vpmaskmovq)
}

/// Whether the instruction is a branch in 64-bit code.
fn near(insn: &Instruction, case: &Case) -> bool {
    let next = matches!(insn.flow_control(), FlowControl::Next | FlowControl::Interrupt | FlowControl::Exception);
    case.mode == Mode::Long && !next
}

/// Whether nothing is compared at all: cases that differ between processors, or that hit the harness's own pages.
pub fn whole(insn: &Instruction, case: &Case, real: &Outcome, ours: &Outcome) -> bool {
    // The code page of the harness is mapped for the processor only.
    let own = |a: u64| (0x1fff_f000..0x2000_2000).contains(&a);
    if ours.fault.is_some_and(|(v, _, a)| v == 14 && own(a)) {
        return true;
    }
    if near(insn, case) {
        // A target that is not canonical: AMD's processors raise #GP at the branch, others at the target.
        if real.fault.is_some_and(|f| f.0 == 13) && ours.fault.is_none() {
            let rip = ours.state.rip;
            return ((rip << 16) as i64 >> 16) as u64 != rip;
        }
        // Operand size of 16 bits: AMD's processors have a displacement and a target of 16 bits, Intel's ignore the prefix.
        if case.bytes.contains(&0x66) && real.state.rip <= 0xffff {
            return true;
        }
    }
    if on_intel() && intel(insn, case, real, ours) {
        return true;
    }
    // FIP and FDP have 64 bits on Intel's processors and on AMD's of family 19h from model 10h on, 48 on earlier ones.
    if insn.mnemonic() == M::Fxrstor64 && real.fault.is_none() && ours.fault.is_none() {
        return real.state.x87.pending_pointers().1 >> 48 != 0;
    }
    match insn.mnemonic() {
        // A fault in the middle may have loaded some registers already.
        M::Popa | M::Popad => real.fault.is_some(),
        // Across the end of 4 GiB: AMD's family 19h wraps.
        M::Fxsave | M::Fxsave64 | M::Fxrstor | M::Fxrstor64 if real.fault.is_some_and(|f| f.0 == 14 && f.2 < 512) => {
            ours.fault.is_some()
        }
        // The host's processor may allow more MXCSR bits than the one that guests see.
        M::Ldmxcsr | M::Vldmxcsr | M::Fxrstor | M::Fxrstor64 => {
            let [r, o] = [real, ours].map(|o| o.fault.map_or(0, |f| f.0));
            // Misaligned and not canonical: which of #GP and #SS.
            r == 0 && o == 13 || matches!((r, o), (12 | 13, 12 | 13))
        }
        // A repeat prefix is reserved here. AMD's processors take it for the condition, whatever the opcode says; others ignore it.
        M::Loope | M::Loopne => insn.has_rep_prefix() || insn.has_repne_prefix(),
        // Misaligned and not canonical: which of #GP and #SS.
        M::Fxsave | M::Fxsave64 => {
            let vectors = [real, ours].map(|o| o.fault.map_or(0, |f| f.0));
            vectors.iter().all(|v| matches!(v, 12 | 13))
        }
        // #XM: whether the x87 stack was reset before.
        M::Cvtpi2ps | M::Cvtpi2pd | M::Cvtps2pi | M::Cvttps2pi | M::Cvtpd2pi | M::Cvttpd2pi => real.fault.is_some(),
        // With both operands inaccessible: Intel's processors report the second operand of a comparison that is not repeated, AMD's (family
        // 1Ah) the first; of repeated ones either reports either.
        M::Cmpsb | M::Cmpsw | M::Cmpsd | M::Cmpsq if insn.is_string_instruction() => {
            real.fault.is_some() && ours.fault.is_some()
        }
        // With a 16-bit destination AMD's processors read 32 bits.
        M::Movsxd if insn.op_register(0).size() == 2 => real.fault.is_some(),
        // Some processors ignore W where it has to be 1 or 0. Mask registers are a part of AVX-512, which no model has and the processor may have.
        M::INVALID => {
            let vex = case.bytes.iter().position(|b| !matches!(b, 0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x67));
            let masks = |opcode: u8| matches!(opcode, 0x41..=0x4b | 0x90..=0x93 | 0x98 | 0x99);
            let more = match case.bytes[vex.unwrap_or_default()..] {
                [0xc4, map, ..] if map & 31 == 3 => true,
                [0xc4, map, _, opcode, ..] if map & 31 == 1 => masks(opcode),
                [0xc5, _, opcode, ..] => masks(opcode),
                _ => false,
            };
            more && real.fault.is_none_or(|f| f.0 != 6)
        }
        // W in 32-bit code: AMD's processors raise #UD, others ignore it.
        M::Vpinsrd | M::Vpextrd if case.mode != Mode::Long => real.fault.is_some_and(|f| f.0 == 6),
        // Whether bytes that are not selected can fault.
        M::Maskmovq | M::Maskmovdqu | M::Vmaskmovdqu => real.fault.is_some(),
        // Selected elements beyond the end of the address size: AMD's family 19h reaches them from address 0 on, its family 1Ah does not wrap.
        m if masked(m) => real.fault.is_some_and(|f| f.0 == 14 && f.2 < 32) && ours.fault.is_some(),
        _ => false,
    }
}

/// Whether this machine's processor is Intel's.
#[cfg(not(target_arch = "x86_64"))]
pub fn on_intel() -> bool {
    false
}

/// Whether this machine's processor is Intel's.
#[cfg(target_arch = "x86_64")]
pub fn on_intel() -> bool {
    static INTEL: LazyLock<bool> = LazyLock::new(|| {
        let cpuid = std::arch::x86_64::__cpuid(0);
        [cpuid.ebx, cpuid.edx, cpuid.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel"
    });
    *INTEL
}

/// What Intel's processors do otherwise than AMD's, of which the model is (`docs/undefined.md` has it as a table).
fn intel(insn: &Instruction, case: &Case, real: &Outcome, ours: &Outcome) -> bool {
    let m = insn.mnemonic();
    let [r, o] = [real, ours].map(|outcome| outcome.fault.map_or(0, |f| f.0));
    let at = real.fault.map_or(0, |f| f.2);
    let repeated = insn.has_rep_prefix() || insn.has_repne_prefix();
    // 32-bit code around the end of 4 GiB: the page is looked at, not the segment's limit.
    if case.mode != Mode::Long && r == 14 && matches!(o, 12 | 13) && !(0x200..0xffff_ff00).contains(&at) {
        return true;
    }
    let string = insn.is_string_instruction();
    // 32-bit addresses in 64-bit code: upper halves become 0 before the first access.
    let narrow = string && repeated && case.mode == Mode::Long && case.bytes.contains(&0x67);
    if narrow && (r != 0 && r == o || case.state.gpr[1] as u32 == 0) {
        return true;
    }
    match m {
        // SHA's operands in memory have to be aligned.
        M::Sha1msg1 | M::Sha1msg2 | M::Sha1nexte | M::Sha1rnds4 | M::Sha256msg1 | M::Sha256msg2 | M::Sha256rnds2 => {
            r == 13
        }
        // Flags of a repeated comparison are written when it ends: a fault or a trap between two of them shows those of before the first.
        M::Cmpsb | M::Cmpsw | M::Cmpsd | M::Cmpsq | M::Scasb | M::Scasw | M::Scasd | M::Scasq if string && repeated => {
            r == 14 && o == 14 || r == 0 && real.state.rip == case.state.rip
        }
        // What is left of the mask when an element faults: all bits of the elements to come, or the upper half zero.
        _ if gathers(m) => r != 0 && r == o,
        // Which byte of the page a masked move tells, and whether one of those that are not chosen is outside of the canonical addresses.
        _ if masked(m) => r != 0 && o != 0,
        // A half-precision store that faults has raised its flags, or their exception.
        M::Vcvtps2ph => r != 0 && o != 0,
        // 80 bits across the end of what can be written: 8 bytes are.
        M::Fstp | M::Fbstp if r != 0 && r == o => insn.memory_size().size() == 10,
        // Which of several NaNs the sum is.
        M::Dpps | M::Dppd | M::Vdpps | M::Vdppd => r == 0 && o == 0,
        // What an unmasked exception holds back is not looked at in memory.
        _ if is_x87_store(m) => r == 0 && o != 0 && case.state.x87.cw & 0x3f != 0x3f,
        // A store of an MMX register that faults has reset the x87 stack.
        M::Movq | M::Movd | M::Movntq | M::Maskmovq => r != 0 && r == o && insn.op_register(1).is_mm(),
        _ => false,
    }
}

fn gathers(m: M) -> bool {
    matches!(
        m,
        M::Vgatherdps
            | M::Vgatherdpd
            | M::Vgatherqps
            | M::Vgatherqpd
            | M::Vpgatherdd
            | M::Vpgatherdq
            | M::Vpgatherqd
            | M::Vpgatherqq
    )
}

fn is_x87_store(m: M) -> bool {
    matches!(m, M::Fst | M::Fstp | M::Fist | M::Fistp | M::Fisttp | M::Fbstp)
}

/// Whether anything of the instruction is not compared, or was not when processors differ ([`whole`]).
pub fn touches(insn: &Instruction, case: &Case) -> bool {
    let sometimes = matches!(
        insn.mnemonic(),
        M::Popa
            | M::Popad
            | M::Ldmxcsr
            | M::Vldmxcsr
            | M::Fxrstor
            | M::Fxrstor64
            | M::Fxsave
            | M::Fxsave64
            | M::Cvtpi2ps
            | M::Cvtpi2pd
            | M::Cvtps2pi
            | M::Cvttps2pi
            | M::Cvtpd2pi
            | M::Cvttpd2pi
            | M::Maskmovq
            | M::Maskmovdqu
            | M::Vmaskmovdqu
            | M::Vpinsrd
            | M::Vpextrd
    ) || insn.mnemonic() == M::Movsxd && insn.op_register(0).size() == 2
        || masked(insn.mnemonic())
        || matches!(insn.mnemonic(), M::Cmpsb | M::Cmpsw | M::Cmpsd | M::Cmpsq) && insn.is_string_instruction();
    let repeated = insn.has_rep_prefix() || insn.has_repne_prefix();
    let branch =
        matches!(insn.mnemonic(), M::Loope | M::Loopne) && repeated || near(insn, case) && case.bytes.contains(&0x66);
    sometimes || branch || flags(insn, case) != 0 || destination(insn, case) || approximate(insn)
}
