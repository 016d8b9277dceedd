//! Random cases: an encoding by opcode map, then a state in which its memory operands mostly hit the data window.

use crate::case::{CODE, Case, DATA, DATA_LEN};
use demotic_f80::F80;
use demotic_ir::state::{GuestState, Mode, eflags, reg};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic as M, OpKind, Register};

/// xorshift64*: small, fixed, good enough.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator; equal seeds give equal sequences.
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.bits() >> 16) % n.max(1)
    }
    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
    /// An integer near the edges of its widths, or any.
    pub fn interesting(&mut self) -> u64 {
        let edges = [
            0,
            1,
            2,
            0x7f,
            0x80,
            0xff,
            0x7fff,
            0x8000,
            0xffff,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            i64::MAX as u64,
            1 << 63,
            u64::MAX,
        ];
        match self.below(4) {
            0 => self.pick(&edges),
            1 => self.pick(&edges).wrapping_add(self.below(5)).wrapping_sub(2),
            2 => self.bits() >> self.below(64),
            _ => self.bits(),
        }
    }
    fn f32(&mut self) -> u32 {
        let special = [
            0,
            0x8000_0000,
            0x3f80_0000,
            0xbf80_0000,
            0x7f80_0000,
            0xff80_0000,
            0x7fc0_0001,
            0x7f80_0001,
            0xffc1_2345,
            1,
            0x007f_ffff,
            0x0080_0000,
            0x7f7f_ffff,
            0x4f00_0000,
            0x5f00_0000,
            0x4eff_ffff,
        ];
        match self.below(3) {
            0 => self.pick(&special),
            1 => {
                (self.bits() as u32 & 0x807f_ffff)
                    | (0x3f80_0000 + ((self.below(80) as u32) << 23)).wrapping_sub(40 << 23)
            }
            _ => self.bits() as u32,
        }
    }
    fn f64(&mut self) -> u64 {
        let special = [
            0,
            1 << 63,
            0x3ff0 << 48,
            0xbff0 << 48,
            0x7ff0 << 48,
            0xfff0 << 48,
            0x7ff8_0000_0000_0001,
            0x7ff0_0000_0000_0001,
            1,
            0x000f_ffff_ffff_ffff,
            0x0010 << 48,
            0x7fef_ffff_ffff_ffff,
            0x41e0 << 48,
            0x43e0 << 48,
            0x36a0 << 48,
            0x47ef_ffff_f000_0000,
        ];
        match self.below(3) {
            0 => self.pick(&special),
            1 => (self.bits() & 0x800f_ffff_ffff_ffff) | (0x3ff0u64 + (self.below(120) << 4) - (60 << 4)) << 48,
            _ => self.bits(),
        }
    }
    fn f80(&mut self) -> F80 {
        let mant = match self.below(4) {
            0 => 1 << 63,
            1 => u64::MAX,
            _ => self.bits() | 1 << 63,
        };
        let sign = (self.bits() as u16) & 0x8000;
        match self.below(12) {
            0 => F80 { mant: 0, se: sign },
            1 => F80 { mant: 1 << 63, se: sign | 0x7fff },
            2 => F80 { mant: 3 << 62 | self.below(9), se: sign | 0x7fff },
            3 => F80 { mant: 1 << 63 | 1 | self.below(9), se: sign | 0x7fff },
            4 => F80 { mant: self.bits() >> 1, se: sign },
            5 => F80 { mant: self.bits(), se: self.bits() as u16 },
            _ => F80 { mant, se: sign | (0x3fff + self.below(140) as u16 - 70) },
        }
    }
    pub(crate) fn vector(&mut self) -> [u64; 2] {
        match self.below(4) {
            0 => [self.interesting(), self.interesting()],
            1 => [self.f64(), self.f64()],
            2 => [0, 0].map(|_: u64| u64::from(self.f32()) << 32 | u64::from(self.f32())),
            _ => [self.bits(), self.bits()],
        }
    }
}

/// Instructions that leave the harness, read the environment, or load segments.
fn excluded(insn: &Instruction) -> bool {
    let m = insn.mnemonic();
    matches!(
        m,
        M::Syscall
            | M::Sysenter
            | M::Int
            | M::Int1
            | M::Cpuid
            | M::Rdtsc
            | M::Rdtscp
            | M::Xgetbv
            | M::Retf
            | M::Iret
            | M::Iretd
            | M::Iretq
            | M::Lds
            | M::Les
            | M::Lfs
            | M::Lgs
            | M::Lss
            | M::Rdrand
            | M::Rdseed
            | M::Rdpid
            | M::Rdfsbase
            | M::Rdgsbase
            | M::Wrfsbase
            | M::Wrgsbase
            | M::Xsave
            | M::Xsaveopt
            | M::Xsavec
            | M::Xrstor
            | M::Xbegin
            | M::Xabort
            | M::Xtest
            | M::Xsetbv
            | M::Vmcall
            | M::Monitor
            | M::Mwait
            | M::Smsw
            | M::Sldt
            | M::Str
            | M::Sgdt
            | M::Sidt
            | M::Rdpmc
            | M::Sysret
            | M::Sysexit
            | M::Swapgs
            | M::Rsm
            | M::Clflush
            | M::Bound
            | M::Prefetchwt1
            | M::Nop
            | M::Reservednop
            | M::Pause
    ) || insn.is_jmp_far()
        || insn.is_call_far()
        || insn.is_jmp_far_indirect()
        || insn.is_call_far_indirect()
        || (0..insn.op_count()).any(|i| insn.op_register(i).is_segment_register())
        || matches!(insn.segment_prefix(), Register::FS | Register::GS)
}

/// A random case, or `None` when the bytes were no use.
pub fn generate(rng: &mut Rng, mode: Mode) -> Option<Case> {
    let mut bytes = Vec::with_capacity(24);
    if rng.one_in(3) {
        bytes.push(rng.pick(&[0x66, 0xf2, 0xf3, 0xf0, 0x66, 0xf2, 0xf3, 0x67]));
        // Several, in any order; now and then up to the limit of 15 bytes and beyond.
        let more = if rng.one_in(40) { 14 } else { 4 };
        if rng.one_in(6) {
            (0..rng.below(more))
                .for_each(|_| bytes.push(rng.pick(&[0x66, 0xf2, 0xf3, 0x66, 0x67, 0x2e, 0x3e, 0x26, 0x36])));
        }
    }
    let prefixes = bytes.len();
    // The maps 0F38 and 0F3A are sparse: as many tries as the others together.
    let sparse = rng.one_in(3);
    let vex = sparse && rng.one_in(4);
    let vector = !vex && rng.one_in(2);
    if vector {
        return generate_vector(rng, mode);
    }
    if mode == Mode::Long && !vex && rng.one_in(2) {
        bytes.push(0x40 | rng.below(16) as u8);
    }
    if vex {
        // Three bytes: inverted R, X, B and the map; W, inverted register, length and prefix. General registers only so far.
        bytes.truncate(0);
        let map = 2 + rng.below(2) as u8;
        let high = if mode == Mode::Long { rng.bits() as u8 & 0xe0 } else { 0xe0 };
        bytes.extend([0xc4, high | map, rng.bits() as u8 & 0xfb | if mode == Mode::Long { 0 } else { 0x40 }]);
        bytes.push(if map == 3 { 0xf0 } else { 0xf2 + rng.below(6) as u8 });
    } else if sparse {
        if bytes.is_empty() && rng.one_in(2) {
            bytes.push(0x66);
        }
        bytes.extend([0x0f, rng.pick(&[0x38, 0x3a])]);
        bytes.push(rng.bits() as u8);
    } else if rng.one_in(2) {
        bytes.push(0x0f);
    }
    if sparse {
        // Its opcode is there already.
    } else if rng.one_in(10) {
        bytes.push(0xd8 + rng.below(8) as u8);
    } else {
        bytes.push(rng.bits() as u8);
    }
    (0..12).for_each(|_| bytes.push(rng.bits() as u8));
    let mut decoder = Decoder::with_ip(mode.bits(), &bytes, CODE, DecoderOptions::NONE);
    let insn = decoder.decode();
    // In 64-bit mode processors differ in whether an operand-size prefix cuts branch targets to 16 bits, and in
    // what repeat prefixes do to loops. A store through CS is #GP in 32-bit code, which is not modelled.
    let branch = insn.flow_control() != FlowControl::Next;
    let cut = branch && bytes[..prefixes.max(4)].iter().any(|b| matches!(b, 0x66 | 0xf2 | 0xf3));
    let code_segment = insn.segment_prefix() == Register::CS && mode != Mode::Long;
    let too_long = insn.is_invalid() && prefixes >= 12 && decoder.last_error() == iced_x86::DecoderError::NoMoreBytes;
    if insn.is_invalid() && !too_long || excluded(&insn) || cut || code_segment {
        return None;
    }
    let offsets = decoder.get_constant_offsets(&insn);
    if !too_long {
        bytes.truncate(insn.len());
    }
    let mut case = Case::new(mode, bytes);
    fill(rng, &mut case);
    if too_long {
        return Some(case);
    }
    aim(
        rng,
        &mut case,
        &insn,
        offsets.has_displacement().then(|| (offsets.displacement_offset(), offsets.displacement_size())),
    );
    Some(case)
}

/// A case with a VEX-encoded vector instruction, or `None`.
fn generate_vector(rng: &mut Rng, mode: Mode) -> Option<Case> {
    let long = mode == Mode::Long;
    let mut bytes = Vec::with_capacity(24);
    if rng.one_in(20) {
        bytes.push(0x67);
    }
    let high = if long { rng.bits() as u8 & 0xe0 } else { 0xc0 | (rng.bits() as u8 & 0x20) };
    let low = rng.bits() as u8;
    if rng.one_in(4) {
        bytes.extend([0xc5, if long { low } else { low | 0xc0 }]);
    } else {
        let map = rng.pick(&[1, 2, 2, 2, 3]);
        // Most instructions have the prefix 66.
        let low = if map > 1 && !rng.one_in(4) { low & !3 | 1 } else { low };
        let low = if rng.one_in(3) { low & 0x7f } else { low };
        bytes.extend([0xc4, high | map, if long { low } else { low | 0x40 }]);
    }
    // Many have no second source: those bits have to be ones.
    if rng.one_in(3) {
        if let Some(last) = bytes.last_mut() {
            *last |= 0x78;
        }
    }
    (0..13).for_each(|_| bytes.push(rng.bits() as u8));
    let mut decoder = Decoder::with_ip(mode.bits(), &bytes, CODE, DecoderOptions::NONE);
    let insn = decoder.decode();
    if insn.is_invalid() && !rng.one_in(200) || insn.op0_register().is_k() || insn.op1_register().is_k() {
        return None;
    }
    let offsets = decoder.get_constant_offsets(&insn);
    if !insn.is_invalid() {
        bytes.truncate(insn.len());
    }
    let mut case = Case::new(mode, bytes);
    fill(rng, &mut case);
    let displacement = offsets.has_displacement().then(|| (offsets.displacement_offset(), offsets.displacement_size()));
    let index = insn.memory_index();
    if index.is_vector_register() {
        // A gather: small indices, and a base from which they reach the window; now and then some miss.
        let size = if rng.one_in(2) { u64::from(u32::MAX) } else { u64::MAX };
        let reach = if rng.one_in(4) { DATA_LEN as u64 } else { 64 };
        let s = &mut case.state;
        for half in s.xmm[index.number()].iter_mut().chain(&mut s.ymm[index.number()]) {
            let n = rng.below(reach);
            *half = if size == u64::MAX { n } else { n | rng.below(reach) << 32 };
        }
        let base = insn.memory_base();
        if base != Register::None {
            s.gpr[base.number()] = DATA.wrapping_add(rng.below(2048)).wrapping_sub(insn.memory_displacement64());
            if !long {
                s.gpr[base.number()] &= 0xffff_ffff;
            }
        }
        return Some(case);
    }
    aim(rng, &mut case, &insn, displacement);
    Some(case)
}

fn target(rng: &mut Rng) -> u64 {
    let at = 64 + rng.below(DATA_LEN as u64 - 1024);
    match rng.below(20) {
        // Near the end of what 32 bits reach, of the lower half, of the hole behind it, of everything.
        0 if rng.one_in(4) => {
            rng.pick(&[0u64, 1 << 32, 1 << 47, 1 << 47, (1u64 << 47).wrapping_neg()]).wrapping_sub(rng.below(40))
        }
        0 => DATA + DATA_LEN as u64 - rng.below(40),
        1..=10 => DATA + (at & !15),
        _ => DATA + at,
    }
}

pub(crate) fn fill(rng: &mut Rng, case: &mut Case) {
    let long = case.mode == Mode::Long;
    let s = &mut case.state;
    for n in 0..if long { 16 } else { 8 } {
        s.gpr[n] = match n {
            reg::RSP | reg::RBP | reg::RSI | reg::RDI if !rng.one_in(12) => target(rng),
            _ => rng.interesting(),
        };
        if !long {
            s.gpr[n] &= 0xffff_ffff;
        }
    }
    if rng.one_in(2) {
        s.gpr[reg::RCX] = rng.below(70);
    }
    s.flags = rng.bits() as u32 & eflags::ARITH;
    if rng.one_in(8) {
        s.sys |= eflags::DF;
    }
    for n in 0..if long { 16 } else { 8 } {
        s.xmm[n] = rng.vector();
        s.ymm[n] = rng.vector();
    }
    s.mxcsr = 0x1f80 | if rng.one_in(3) { (rng.bits() as u32) & 0xe07f } else { 0 };
    if rng.one_in(10) {
        s.mxcsr &= !(rng.bits() as u32 & 0x1f80);
    }
    x87(rng, s);
    for _ in 0..48 {
        let at = rng.below(DATA_LEN as u64);
        case.mem.push((at as u16, rng.bits() as u8));
    }
}

/// Numbers around the least normal one in the lanes of vector registers, whose products and quotients are there, too; and none of the flags about that yet.
pub fn make_tiny(rng: &mut Rng, s: &mut GuestState) {
    let few = |rng: &mut Rng, fraction: u32| match rng.below(4) {
        0 => 0,
        1 => (1u64 << fraction) - 1 - rng.below(3),
        2 => rng.below(3),
        _ => rng.bits() & ((1 << fraction) - 1),
    };
    let exponent = |rng: &mut Rng, bias: u64| match rng.below(6) {
        0 => 0,
        1 => 1 + rng.below(2),
        2 => bias - 1 + rng.below(3),
        3 => bias / 2 + rng.below(3),
        4 => bias * 3 / 2 + rng.below(3),
        _ => 1 + rng.below(60),
    };
    let half = |rng: &mut Rng| {
        if rng.one_in(2) {
            return rng.bits() & 1 << 63 | exponent(rng, 1023) << 52 | few(rng, 52);
        }
        let single = |rng: &mut Rng| rng.bits() & 1 << 31 | exponent(rng, 127) << 23 | few(rng, 23);
        single(rng) << 32 | single(rng)
    };
    for n in 0..s.xmm.len() {
        for half_of in [&mut s.xmm[n], &mut s.ymm[n]] {
            if !rng.one_in(4) {
                *half_of = [half(rng), half(rng)];
            }
        }
    }
    s.mxcsr &= !(rng.bits() as u32 & 0x3f);
}

/// Points the memory operands into the window and puts fitting data there.
fn aim(rng: &mut Rng, case: &mut Case, insn: &Instruction, displacement: Option<(usize, usize)>) {
    let miss = rng.one_in(25);
    let mask = if case.mode == Mode::Long { u64::MAX } else { 0xffff_ffff };
    let mut at = target(rng);
    if insn.op_kinds().any(|k| k == OpKind::Memory) && !miss {
        let (base, index) = (insn.memory_base(), insn.memory_index());
        if base == Register::None && index == Register::None || insn.is_ip_rel_memory_operand() {
            if let Some((offset, size)) = displacement.filter(|(_, n)| *n >= 4) {
                let origin = if insn.is_ip_rel_memory_operand() { insn.next_ip() } else { 0 };
                let d = at.wrapping_sub(origin).to_le_bytes();
                case.bytes[offset..offset + size].copy_from_slice(&d[..size]);
            }
        } else {
            // Solve for the base (or the index when there is no base), the other register made small.
            let scale = u64::from(insn.memory_index_scale());
            let mut rest = insn.memory_displacement64();
            if base != Register::None {
                if index != Register::None && index.full_register() != base.full_register() {
                    let small = rng.below(32);
                    case.state.gpr[index.number()] = small;
                    rest = rest.wrapping_add(small * scale);
                }
                let factor = if index != Register::None && index.full_register() == base.full_register() {
                    1 + scale
                } else {
                    1
                };
                case.state.gpr[base.number()] = (at.wrapping_sub(rest) & mask) / factor;
            } else {
                case.state.gpr[index.number()] = (at.wrapping_sub(rest) & mask) / scale.max(1);
            }
        }
        // A bit offset in a register moves the address.
        if matches!(insn.mnemonic(), M::Bt | M::Bts | M::Btr | M::Btc) && insn.op_kind(1) == OpKind::Register {
            let n = insn.op_register(1).full_register().number();
            if insn.memory_base().full_register().number() != n && insn.memory_index().full_register().number() != n {
                case.state.gpr[n] = rng.below(512) & mask;
            }
        }
    }
    if insn.mnemonic() == M::Xlatb {
        case.state.gpr[reg::RBX] = DATA + 64 + rng.below(1024);
    }
    // What the operand finds: integers, floats or extended reals. Stack and string operands find the same.
    for p in [at, case.state.gpr[reg::RSP], case.state.gpr[reg::RSI], case.state.gpr[reg::RDI]] {
        at = p;
        let mut image = Vec::new();
        for _ in 0..2 {
            match rng.below(4) {
                0 => image.extend_from_slice(&rng.f80().to_bytes()),
                1 => image.extend_from_slice(&rng.f64().to_le_bytes()),
                2 => image.extend_from_slice(&rng.f32().to_le_bytes()),
                _ => image.extend_from_slice(&rng.interesting().to_le_bytes()),
            }
        }
        for (k, b) in image.into_iter().enumerate() {
            let o = at.wrapping_add(k as u64).wrapping_sub(DATA);
            if o < DATA_LEN as u64 {
                case.mem.push((o as u16, b));
            }
        }
    }
    let zero = |case: &mut Case, p: u64, n: u64| {
        case.mem.retain(|(o, _)| !(p..p.wrapping_add(n)).contains(&(DATA + u64::from(*o))));
    };
    let insn = &crate::decode(case);
    match insn.mnemonic() {
        // Alignment checking would reach the harness itself.
        M::Popf | M::Popfd | M::Popfq => zero(case, case.state.gpr[reg::RSP], 8),
        // Branch targets must be canonical: processors differ in where they raise the fault.
        M::Ret => zero(case, case.state.gpr[reg::RSP], 8),
        M::Jmp | M::Call if insn.op_kind(0) == OpKind::Memory => zero(case, p_of(insn, case), 8),
        M::Jmp | M::Call if insn.op_kind(0) == OpKind::Register => {
            let n = insn.op_register(0).number();
            if n != reg::RSP {
                case.state.gpr[n] &= 0x7fff_ffff;
            }
        }
        _ => {}
    }
    case.mem.sort_by_key(|(o, _)| *o);
    case.mem.dedup_by_key(|(o, _)| *o);
    case.mem.retain(|(_, v)| *v != 0);
}

fn p_of(insn: &Instruction, case: &Case) -> u64 {
    insn.virtual_address(0, 0, |r, _, _| if r.is_gpr() { Some(case.state.gpr[r.number()]) } else { Some(0) })
        .unwrap_or(0)
}

/// Random x87 state: registers of all kinds, some empty, now and then other precision and rounding, or unmasked exceptions.
pub fn x87(rng: &mut Rng, s: &mut GuestState) {
    for r in &mut s.x87.st {
        *r = rng.f80();
    }
    s.x87.valid = if rng.one_in(3) { rng.bits() as u8 } else { 0xff };
    s.x87.set_top(rng.below(8) as usize);
    if rng.one_in(3) {
        s.x87.cw = 0x40 | rng.bits() as u16 & 0xf00 | 0x3f;
        s.x87.sw |= rng.bits() as u16 & 0x477f;
    }
    if rng.one_in(8) {
        // Some exceptions unmasked, mostly none pending.
        s.x87.cw &= !(rng.bits() as u16 & 0x3f);
        if !rng.one_in(6) {
            s.x87.sw &= !0x7f;
        }
        s.x87.summarise();
    }
}
