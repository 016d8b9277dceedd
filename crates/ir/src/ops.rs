//! The table of operations: one line says everything about one operation.
//!
//! Printer, parser, verifier, builder checks and the interpreter's skeleton derive from [`OpInfo`]. A result or operand
//! written `T` has the type that the instruction carries (`add.i32`); vector operations carry their lane type and work on
//! V128. The semantics column is the definition; [`crate::interp`] executes it.
//!
//! Effects. `FAULT`: may raise a guest exception, so the state before it must be exact. `READ`/`WRITE`: touches guest
//! memory. `STATE`: reads or writes guest state other than by get/set (sticky status bits, the x87 stack). An operation
//! without effects is pure: it may be removed when nobody uses it and moved freely.
//!
//! Addresses are linear addresses. In 32-bit units whoever makes one cuts it to 32 bits; back ends may count on that and compute it in 32 bits.
//!
//! Length: the table, one line or two for each operation.

use crate::properties::{ARITY, EFFECTS, RESULT_TYPES, RESULTS, TAKES_FLAGS, TRAITS};
use crate::ty::Ty;

/// What an operation does besides computing its result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effects(pub u8);

impl Effects {
    /// Nothing.
    pub const PURE: Effects = Effects(0);
    /// May raise a guest exception.
    pub const FAULT: Effects = Effects(1);
    /// Reads guest memory (and may fault).
    pub const READ: Effects = Effects(2 | 1);
    /// Writes guest memory (and may fault).
    pub const WRITE: Effects = Effects(4 | 1);
    /// Reads and writes guest memory atomically (and may fault).
    pub const ATOMIC: Effects = Effects(2 | 4 | 1);
    /// Reads a slot.
    pub const GET: Effects = Effects(8);
    /// Writes a slot.
    pub const SET: Effects = Effects(16);
    /// Changes guest state that is not an explicit slot write.
    pub const STATE: Effects = Effects(32);
    /// Changes such state, and may raise a guest exception before it does.
    pub const STATE_FAULT: Effects = Effects(32 | 1);
    /// May leave the block.
    pub const EXIT: Effects = Effects(64);

    /// Whether the operation may raise a guest exception.
    pub const fn may_fault(self) -> bool {
        self.0 & 1 != 0
    }
    /// Whether it may be dropped when its result is not used. Reads of slots may; reads of memory may not, they fault.
    pub const fn removable(self) -> bool {
        self.0 & !8 == 0
    }
    /// Whether it writes a slot or other guest state.
    pub fn changes_state(self) -> bool {
        self.0 & (16 | 32) != 0
    }
}

/// How a type in the table is determined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TyRule {
    /// The instruction's own type.
    T,
    /// Always this type.
    Is(Ty),
    /// Any integer type.
    Int,
}

/// What the immediate of an operation means; decides its text form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImmKind {
    /// There is none.
    No,
    /// A number.
    Num,
    /// A slot.
    Slot,
    /// A set of arithmetic flags.
    Flags,
    /// A condition code 0..=15 in the encoding of Jcc.
    Cond,
    /// A guest address.
    Pc,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct OpInfo {
    /// Name in the text form.
    pub name: &'static str,
    /// Result type.
    pub result: TyRule,
    /// Operand types.
    pub args: &'static [TyRule],
    /// Meaning of the immediate.
    pub imm: ImmKind,
    /// Effects.
    pub effects: Effects,
}

macro_rules! ops {
    ($($(#[doc = $doc:literal])* $op:ident $name:literal $result:ident ($($arg:ident)*) $imm:ident $eff:ident;)*) => {
        /// An operation.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Op { $($(#[doc = $doc])* $op,)* }

        impl Op {
            /// All operations in table order.
            pub const ALL: &'static [Op] = &[$(Op::$op,)*];
            /// The table, indexed by operation.
            pub const TABLE: &'static [OpInfo] = &[$(OpInfo {
                name: $name,
                result: rule!($result),
                args: &[$(rule!($arg),)*],
                imm: ImmKind::$imm,
                effects: Effects::$eff,
            },)*];
        }
    };
}

macro_rules! rule {
    (T) => {
        TyRule::T
    };
    (Int) => {
        TyRule::Int
    };
    (None) => {
        TyRule::Is(Ty::None)
    };
    ($t:ident) => {
        TyRule::Is(Ty::$t)
    };
}

#[rustfmt::skip]
ops! {
    // ---- constants, slots, flags --------------------------------------------------------------------------------
    /// Nothing; what a pass leaves where it removed an operation.
    Nop       "nop"      None ()            No    PURE;
    /// The immediate, truncated to T.
    Const     "const"    T    ()            Num   PURE;
    /// The low T bits of a slot.
    Get       "get"      T    ()            Slot  GET;
    /// Bits 8 to 15 of a general register slot (AH, CH, DH, BH).
    GetHi     "gethi"    I8   ()            Slot  GET;
    /// Writes a slot. i64 and v128 replace it, i32 zero-extends into it, i16 and i8 replace its low bits.
    Set       "set"      None (T)           Slot  SET;
    /// Replaces bits 8 to 15 of a general register slot.
    SetHi     "sethi"    None (I8)          Slot  SET;
    /// The arithmetic flags.
    GetFl     "getfl"    Fl   ()            No    GET;
    /// Writes those arithmetic flags that the immediate names.
    SetFl     "setfl"    None (Fl)          Flags SET;

    // ---- integers -----------------------------------------------------------------------------------------------
    /// a + b.
    Add       "add"      T    (T T)         No    PURE;
    /// a - b.
    Sub       "sub"      T    (T T)         No    PURE;
    /// Low half of a * b.
    Mul       "mul"      T    (T T)         No    PURE;
    /// High half of the unsigned product.
    MulHiU    "mulhiu"   T    (T T)         No    PURE;
    /// High half of the signed product.
    MulHiS    "mulhis"   T    (T T)         No    PURE;
    /// Quotient of the unsigned division of a:b (high, low) by c; #DE when c is 0 or the quotient does not fit.
    DivU      "divu"     T    (T T T)       No    FAULT;
    /// Remainder of the same; the same faults.
    RemU      "remu"     T    (T T T)       No    FAULT;
    /// Quotient of the signed division of a:b by c, truncated; #DE as above.
    DivS      "divs"     T    (T T T)       No    FAULT;
    /// Remainder of the same; the same faults.
    RemS      "rems"     T    (T T T)       No    FAULT;
    /// Bitwise and.
    And       "and"      T    (T T)         No    PURE;
    /// Bitwise or.
    Or        "or"       T    (T T)         No    PURE;
    /// Bitwise exclusive or.
    Xor       "xor"      T    (T T)         No    PURE;
    /// Bitwise complement.
    Not       "not"      T    (T)           No    PURE;
    /// a << b; 0 when b >= width.
    Shl       "shl"      T    (T I8)        No    PURE;
    /// a >> b, zeros shifted in; 0 when b >= width.
    Shr       "shr"      T    (T I8)        No    PURE;
    /// a >> b, copies of the sign shifted in.
    Sar       "sar"      T    (T I8)        No    PURE;
    /// Rotate left by b modulo width.
    Rol       "rol"      T    (T I8)        No    PURE;
    /// Rotate right by b modulo width.
    Ror       "ror"      T    (T I8)        No    PURE;
    /// Rotate left through carry c by b modulo (width + 1).
    Rcl       "rcl"      T    (T I8 I1)     No    PURE;
    /// Rotate right through carry c by b modulo (width + 1).
    Rcr       "rcr"      T    (T I8 I1)     No    PURE;
    /// High T bits of (a:b) << c, c modulo width in i32 and i64; for i16 the bits of a:b:a are shifted (c < 32).
    ShlD      "shld"     T    (T T I8)      No    PURE;
    /// Low T bits of (b:a) >> c, likewise.
    ShrD      "shrd"     T    (T T I8)      No    PURE;
    /// Number of leading zeros; width for 0.
    Clz       "clz"      T    (T)           No    PURE;
    /// Number of trailing zeros; width for 0.
    Ctz       "ctz"      T    (T)           No    PURE;
    /// Number of ones.
    Popcnt    "popcnt"   T    (T)           No    PURE;
    /// Bytes in reverse order.
    Bswap     "bswap"    T    (T)           No    PURE;
    /// The low bits of a, one after the other, at the places of the ones of b.
    Pdep      "pdep"     T    (T T)         No    PURE;
    /// The bits of a at the places of the ones of b, one after the other.
    Pext      "pext"     T    (T T)         No    PURE;
    /// CRC-32C (polynomial 0x1edc6f41, reflected) of the bytes of b, going on from a.
    Crc32     "crc32"    I32  (I32 T)       No    PURE;
    /// Zero-extends or truncates an integer to T.
    Zext      "zext"     T    (Int)         No    PURE;
    /// Sign-extends the low `immediate` bits of an integer to T.
    Sext      "sext"     T    (Int)         Num   PURE;
    /// 1 when a = b. The operands have type T.
    Eq        "eq"       I1   (T T)         No    PURE;
    /// 1 when a < b, unsigned.
    LtU       "ltu"      I1   (T T)         No    PURE;
    /// 1 when a < b, signed.
    LtS       "lts"      I1   (T T)         No    PURE;
    /// b when a is 1, else c.
    Sel       "sel"      T    (I1 T T)      No    PURE;

    // ---- flags as values ----------------------------------------------------------------------------------------
    /// Flags of a + b.
    FlAdd     "fl.add"   Fl   (T T)         No    PURE;
    /// Flags of a + b + c.
    FlAdc     "fl.adc"   Fl   (T T I1)      No    PURE;
    /// Flags of a - b.
    FlSub     "fl.sub"   Fl   (T T)         No    PURE;
    /// Flags of a - b - c.
    FlSbb     "fl.sbb"   Fl   (T T I1)      No    PURE;
    /// Flags of (a - b) + b: of an addition by its result and second operand.
    FlAddR    "fl.addr"  Fl   (T T)         No    PURE;
    /// Flags of (a + b) - b: of a subtraction by its result and second operand.
    FlSubR    "fl.subr"  Fl   (T T)         No    PURE;
    /// Flags of a logical operation with result a: CF = OF = AF = 0.
    FlLogic   "fl.logic" Fl   (T)           No    PURE;
    /// Flags of a << b (b below 64); the third operand when b is 0.
    FlShl     "fl.shl"   Fl   (T I8 Fl)     No    PURE;
    /// Flags of a >> b, zeros shifted in; likewise.
    FlShr     "fl.shr"   Fl   (T I8 Fl)     No    PURE;
    /// Flags of a >> b, signs shifted in; likewise.
    FlSar     "fl.sar"   Fl   (T I8 Fl)     No    PURE;
    /// Flags of a rotation left by b with result a; CF and OF change, and only when b is not 0.
    FlRol     "fl.rol"   Fl   (T I8 Fl)     No    PURE;
    /// Flags of a rotation right by b with result a; likewise.
    FlRor     "fl.ror"   Fl   (T I8 Fl)     No    PURE;
    /// Flags of rcl a, b with carry c and old flags d.
    FlRcl     "fl.rcl"   Fl   (T I8 I1 Fl)  No    PURE;
    /// Flags of rcr a, b with carry c and old flags d.
    FlRcr     "fl.rcr"   Fl   (T I8 I1 Fl)  No    PURE;
    /// Flags of shld a, b, c with old flags d.
    FlShlD    "fl.shld"  Fl   (T T I8 Fl)   No    PURE;
    /// Flags of shrd a, b, c with old flags d.
    FlShrD    "fl.shrd"  Fl   (T T I8 Fl)   No    PURE;
    /// Flags from an EFLAGS image.
    FlFrom    "fl.from"  Fl   (I32)         No    PURE;
    /// The EFLAGS image of flags (arithmetic bits only).
    FlBits    "fl.bits"  I32  (Fl)          No    PURE;
    /// Condition: the immediate is the low nibble of a Jcc opcode.
    Cond      "cond"     I1   (Fl)          Cond  PURE;

    // ---- memory -------------------------------------------------------------------------------------------------
    /// Load. Immediate bit 0: #GP unless 16-byte aligned; bit 1: a stack access (#SS instead of #GP); bit 2: a fault counts as a write (the
    /// load of a read-modify-write instruction); bit 3: the first half of 32 bytes.
    Ld        "ld"       T    (I64)         Num   READ;
    /// Store b at a. Immediate as for `ld`.
    St        "st"       None (I64 T)       Num   WRITE;
    /// Store b at a unless c is 1; then memory is not changed, but with immediate bit 0 a fault at a is still
    /// raised. Bit 1 as for `ld`.
    StUnless  "stunless" None (I64 T I1)    Num   WRITE;
    /// Faults like a store of type T at a would, and stores nothing: for instructions that check before they
    /// store. Immediate bit 1 as for `ld`.
    ProbeW    "probew"   None (I64)         Num   WRITE;
    /// Atomic exchange; the old value. Immediate of the atomic operations: bit 1 as for `ld`.
    AXchg     "axchg"    T    (I64 T)       Num   ATOMIC;
    /// Atomic addition; the old value.
    AAdd      "aadd"     T    (I64 T)       Num   ATOMIC;
    /// Atomic and; the old value.
    AAnd      "aand"     T    (I64 T)       Num   ATOMIC;
    /// Atomic or; the old value.
    AOr       "aor"      T    (I64 T)       Num   ATOMIC;
    /// Atomic exclusive or; the old value.
    AXor      "axor"     T    (I64 T)       Num   ATOMIC;
    /// Atomic compare with b and, when equal, store c; the old value. v128 needs 16-byte alignment (#GP).
    ACas      "acas"     T    (I64 T T)     Num   ATOMIC;
    /// Raises #GP(0) unless a is 0.
    CheckGp   "checkgp"  None (I64)         No    FAULT;
    /// Raises #GP(0) unless a is negative: for bounds, without a use of host flags.
    CheckNeg  "checkneg"  None (I64)        No    FAULT;
    /// Memory fence: 0 full (mfence), 1 loads (lfence), 2 stores (sfence).
    Fence     "fence"    None ()            Num   STATE;
    /// Any number, also none, of complete iterations of the repeated string instruction that the block begins with: movs (immediate 0) or stos (1) of
    /// elements of type T, as long as more than one would be left. Changes memory and the registers of the string instructions.
    Bulk      "bulk"     None ()            Num   ATOMIC;

    // ---- control ------------------------------------------------------------------------------------------------
    /// Leaves the block for the guest address when a is 1; the state is exact there.
    ExitIf    "exitif"   None (I1)          Pc    EXIT;

    // ---- vectors of integers (T is the lane) --------------------------------------------------------------------
    /// Zero-extends an integer of type T to a vector.
    VZext     "vzext"    V128 (T)           No    PURE;
    /// Lane number immediate.
    VExt      "vext"     T    (V128)        Num   PURE;
    /// Replaces a lane.
    VIns      "vins"     V128 (V128 T)      Num   PURE;
    /// Bitwise and.
    VAnd      "vand"     V128 (V128 V128)   No    PURE;
    /// ~a & b.
    VAndN     "vandn"    V128 (V128 V128)   No    PURE;
    /// Bitwise or.
    VOr       "vor"      V128 (V128 V128)   No    PURE;
    /// Bitwise exclusive or.
    VXor      "vxor"     V128 (V128 V128)   No    PURE;
    /// Lane sums.
    VAdd      "vadd"     V128 (V128 V128)   No    PURE;
    /// Lane differences.
    VSub      "vsub"     V128 (V128 V128)   No    PURE;
    /// Signed saturating sums.
    VAddSS    "vaddss"   V128 (V128 V128)   No    PURE;
    /// Unsigned saturating sums.
    VAddUS    "vaddus"   V128 (V128 V128)   No    PURE;
    /// Signed saturating differences.
    VSubSS    "vsubss"   V128 (V128 V128)   No    PURE;
    /// Unsigned saturating differences.
    VSubUS    "vsubus"   V128 (V128 V128)   No    PURE;
    /// Low halves of the products.
    VMulLo    "vmullo"   V128 (V128 V128)   No    PURE;
    /// High halves of the signed products.
    VMulHiS   "vmulhis"  V128 (V128 V128)   No    PURE;
    /// High halves of the unsigned products.
    VMulHiU   "vmulhiu"  V128 (V128 V128)   No    PURE;
    /// Unsigned products of the even 32-bit lanes, as 64-bit lanes.
    VMulEvenU "vmulevenu" V128 (V128 V128)  No    PURE;
    /// Sums of adjacent signed 16-bit products, as 32-bit lanes.
    VMulAddS  "vmuladds" V128 (V128 V128)   No    PURE;
    /// Sum of absolute differences of unsigned bytes, per 64-bit half.
    VSad      "vsad"     V128 (V128 V128)   No    PURE;
    /// Rounded unsigned averages.
    VAvgU     "vavgu"    V128 (V128 V128)   No    PURE;
    /// Unsigned minima.
    VMinU     "vminu"    V128 (V128 V128)   No    PURE;
    /// Unsigned maxima.
    VMaxU     "vmaxu"    V128 (V128 V128)   No    PURE;
    /// Signed minima.
    VMinS     "vmins"    V128 (V128 V128)   No    PURE;
    /// Signed maxima.
    VMaxS     "vmaxs"    V128 (V128 V128)   No    PURE;
    /// All ones where equal.
    VCmpEq    "vcmpeq"   V128 (V128 V128)   No    PURE;
    /// All ones where a > b, signed.
    VCmpGtS   "vcmpgts"  V128 (V128 V128)   No    PURE;
    /// Lanes shifted left by b; 0 when b >= lane width.
    VShl      "vshl"     V128 (V128 I64)    No    PURE;
    /// Lanes shifted right, zeros in.
    VShr      "vshr"     V128 (V128 I64)    No    PURE;
    /// Lanes shifted right, signs in.
    VSar      "vsar"     V128 (V128 I64)    No    PURE;
    /// The whole vector shifted left by immediate bytes.
    VShlB     "vshlb"    V128 (V128)        Num   PURE;
    /// The whole vector shifted right by immediate bytes.
    VShrB     "vshrb"    V128 (V128)        Num   PURE;
    /// Lanes of a then b, signed, narrowed to half width with signed saturation.
    VPackSS   "vpackss"  V128 (V128 V128)   No    PURE;
    /// The same with unsigned saturation.
    VPackUS   "vpackus"  V128 (V128 V128)   No    PURE;
    /// Interleaves the low lanes of a and b, a first.
    VZipLo    "vziplo"   V128 (V128 V128)   No    PURE;
    /// Interleaves the high lanes.
    VZipHi    "vziphi"   V128 (V128 V128)   No    PURE;
    /// Result lane n is the lane that nibble n of the immediate names in the concatenation a, b.
    VShuf     "vshuf"    V128 (V128 V128)   Num   PURE;
    /// Sign bits of the lanes.
    VMovMsk   "vmovmsk"  I32  (V128)        No    PURE;
    /// Keeps the low 64 bits, clears the high ones.
    VLow      "vlow"     V128 (V128)        No    PURE;

    /// Byte n is the byte of a that the low four bits of byte n of b name; 0 where bit 7 of that is set.
    VTbl      "vtbl"     V128 (V128 V128)   No    PURE;
    /// Sums of adjacent lanes of a, then of b.
    VHAdd     "vhadd"    V128 (V128 V128)   No    PURE;
    /// The same with signed saturation.
    VHAddSS   "vhaddss"  V128 (V128 V128)   No    PURE;
    /// Differences of adjacent lanes of a, then of b: even lane minus odd lane.
    VHSub     "vhsub"    V128 (V128 V128)   No    PURE;
    /// The same with signed saturation.
    VHSubSS   "vhsubss"  V128 (V128 V128)   No    PURE;
    /// Signed saturated sums of adjacent products of the unsigned bytes of a and the signed bytes of b, as 16-bit lanes.
    VMulAddUS "vmuladdus" V128 (V128 V128)  No    PURE;
    /// Signed 16-bit products, rounded: bits 30 to 15 of a * b + 0x4000.
    VMulHiR   "vmulhir"  V128 (V128 V128)   No    PURE;
    /// Signed products of the even 32-bit lanes, as 64-bit lanes.
    VMulEvenS "vmulevens" V128 (V128 V128)  No    PURE;
    /// Lanes of a: negated where b is negative, 0 where b is 0.
    VSign     "vsign"    V128 (V128 V128)   No    PURE;
    /// Absolute values.
    VAbs      "vabs"     V128 (V128)        No    PURE;
    /// The low 16 bytes of a:b (a high) shifted right by immediate bytes.
    VAlign    "valign"   V128 (V128 V128)   Num   PURE;
    /// Lanes of b where the lane of c has its sign bit set, else of a.
    VSelS     "vsels"    V128 (V128 V128 V128) No PURE;
    /// Lanes of T from the low lanes of a, which have `immediate` bits, sign-extended.
    VWidenS   "vwidens"  V128 (V128)        Num   PURE;
    /// The same, zero-extended.
    VWidenU   "vwidenu"  V128 (V128)        Num   PURE;
    /// Flags: ZF when a & b is 0, CF when ~a & b is.
    VTest     "vtest"    Fl   (V128 V128)   No    PURE;
    /// Sums of absolute differences of four bytes of b with eight runs of four bytes of a (mpsadbw; its immediate).
    VMpSad    "vmpsad"   V128 (V128 V128)   Num   PURE;
    /// The smallest unsigned 16-bit lane in lane 0, its number in lane 1.
    VMinPos   "vminpos"  V128 (V128)        No    PURE;
    /// A step of AES on state a with key b; the immediate is an [`AesFn`] (of `keygen`: with the round constant above bit 8).
    VAes      "vaes"     V128 (V128 V128)   Num   PURE;
    /// Carry-less product of 64-bit lanes: bit 0 of the immediate chooses a's, bit 4 b's.
    VClMul    "vclmul"   V128 (V128 V128)   Num   PURE;
    /// A step of SHA; the immediate is a [`ShaFn`] (of `sha1rnds4`: with the function above bit 8).
    VSha      "vsha"     V128 (V128 V128 V128) Num PURE;
    /// String comparison of a and b with lengths c and d; the immediate is pcmpestri's, bit 8: implicit lengths. The index.
    VStrI     "vstri"    I32  (V128 V128 I64 I64) Num PURE;
    /// The mask of the same (pcmpestrm).
    VStrM     "vstrm"    V128 (V128 V128 I64 I64) Num PURE;
    /// The flags of the same.
    VStrF     "vstrf"    Fl   (V128 V128 I64 I64) Num PURE;


    // ---- SSE floating point (T is the lane; reads and writes MXCSR; #XM) --------------------------------------------
    // Immediate bit 8 set: all lanes; clear: lane 0, other lanes from a. Low bits: predicate where there is one.
    /// Sum.
    FAdd      "fadd"     V128 (V128 V128)   Num   STATE_FAULT;
    /// Difference.
    FSub      "fsub"     V128 (V128 V128)   Num   STATE_FAULT;
    /// Product.
    FMul      "fmul"     V128 (V128 V128)   Num   STATE_FAULT;
    /// Quotient.
    FDiv      "fdiv"     V128 (V128 V128)   Num   STATE_FAULT;
    /// Minimum as `minss` defines it: b unless a < b.
    FMin      "fmin"     V128 (V128 V128)   Num   STATE_FAULT;
    /// Maximum: b unless a > b.
    FMax      "fmax"     V128 (V128 V128)   Num   STATE_FAULT;
    /// Square root of b.
    FSqrt     "fsqrt"    V128 (V128 V128)   Num   STATE_FAULT;
    /// Approximate reciprocal of b (relative error below 1.5 * 2^-12).
    FRcp      "frcp"     V128 (V128 V128)   Num   PURE;
    /// Approximate reciprocal square root of b.
    FRsqrt    "frsqrt"   V128 (V128 V128)   Num   PURE;
    /// All ones where predicate 0..=7 of `cmpps` holds.
    FCmp      "fcmp"     V128 (V128 V128)   Num   STATE_FAULT;
    /// Differences in even lanes, sums in odd ones; all lanes.
    FAddSub   "faddsub"  V128 (V128 V128)   Num   STATE_FAULT;
    /// Sums of adjacent lanes of a, then of b.
    FHAdd     "fhadd"    V128 (V128 V128)   Num   STATE_FAULT;
    /// Differences of adjacent lanes, likewise.
    FHSub     "fhsub"    V128 (V128 V128)   Num   STATE_FAULT;
    /// Rounded to integers as the low four bits of the immediate say (roundps).
    FRound    "fround"   V128 (V128 V128)   Num   STATE_FAULT;
    /// Dot product: the low byte of the immediate is that of dpps.
    FDot      "fdot"     V128 (V128 V128)   Num   STATE_FAULT;
    /// Flags of `ucomiss` (immediate 0) or `comiss` (1).
    FComi     "fcomi"    Fl   (V128 V128)   Num   STATE_FAULT;
    /// Lane 0 of a replaced by the signed integer of `immediate` bits in b converted to T.
    FFromInt  "ffromint" V128 (V128 Int)    Num   STATE_FAULT;
    /// Lane 0 converted to integer T. Immediate bit 0: source is f64, else f32; bit 1: truncate.
    FToInt    "ftoint"   T    (V128)        Num   STATE_FAULT;
    /// Lane 0 of a replaced by lane 0 of b (of the other format) converted to T.
    FCvt      "fcvt"     V128 (V128 V128)   No    STATE_FAULT;
    /// Packed conversion; the immediate is a [`PackedCvt`].
    FCvtP     "fcvtp"    V128 (V128)        Num   STATE_FAULT;


    // ---- x87 --------------------------------------------------------------------------------------------------------
    /// Raises #MF when an unmasked exception is pending. The immediate, when it is not 0, makes this guest instruction the last x87 one, which the
    /// environment names: [`crate::interp::Pointers`]. Translated code leaves that undone while no exception is unmasked.
    XChk      "x.chk"    None ()            Num   FAULT;
    /// FOP, FIP and FDP are wanted: translated code that has them elsewhere gives up here.
    XPtr      "x.ptr"    None ()            No    FAULT;
    /// ST(i). Empty: stack underflow (IE, SF, C1 = 0), the default NaN.
    XGet      "x.get"    F80  ()            Num   STATE;
    /// ST(0) without setting status bits; the default NaN when it is empty.
    XPeek     "x.peek"   F80  ()            No    GET;
    /// Writes ST(i) and its tag.
    XSet      "x.set"    None (F80)         Num   SET;
    /// Decrements TOP and writes ST(0). Full: stack overflow (IE, SF, C1 = 1), the default NaN is pushed.
    XPush     "x.push"   None (F80)         No    STATE;
    /// Marks ST(0) empty and increments TOP, unless an unmasked exception holds it back (immediate 1: also OE and UE).
    XPop      "x.pop"    None ()            Num   SET;
    /// Sum by control word; sets status bits.
    XAdd      "x.add"    F80  (F80 F80)     No    STATE;
    /// Difference.
    XSub      "x.sub"    F80  (F80 F80)     No    STATE;
    /// Product.
    XMul      "x.mul"    F80  (F80 F80)     No    STATE;
    /// Quotient.
    XDiv      "x.div"    F80  (F80 F80)     No    STATE;
    /// Exact conversion of the signed integer of `immediate` bits.
    XFromInt  "x.fromint" F80 (Int)         Num   PURE;
    /// Conversion of a binary32 or binary64 image (T is i32 or i64); sets status bits. Immediate 1: an operand of arithmetic,
    /// whose denormal exception has to wait for the operation.
    XFromF    "x.fromf"  F80  (T)           Num   STATE;
    /// Integer of type T by rounding control; immediate 1 truncates. The status bits are set by `x.toint.c`.
    XToInt    "x.toint"  T    (F80)         Num   GET;
    /// Sets the status bits of that conversion.
    XToIntC   "x.toint.c" None (F80)        Num   STATE;
    /// binary32 or binary64 image. The status bits are set by `x.tof.c`.
    XToF      "x.tof"    T    (F80)         No    GET;
    /// Sets the status bits of that conversion.
    XToFC     "x.tof.c"  None (F80)         No    STATE;
    /// Comparison into C3 C2 C0; immediate 1: quiet (fucom). The flags of `fcomi` as a value too.
    XCmp      "x.cmp"    Fl   (F80 F80)     Num   STATE;
    /// Whether an unmasked exception keeps a store of the value to memory from happening. Immediate: 0 none but an empty ST(0),
    /// 1 conversion to integer T, 3 the same truncating, 4 to binary32 or binary64 T, 8 to packed decimal.
    XNoStore  "x.nostore" I1  (F80)         Num   GET;
    /// Sets C3 C2 C0 from flags as `x.cmp` gave them.
    XSetCc    "x.setcc"  None (Fl)          No    STATE;
    /// One of the register-only instructions of [`X87Fn`].
    XFn       "x.fn"     None ()            Num   STATE;
    /// Packed decimal to extended (v128 holds ten bytes).
    XFromBcd  "x.frombcd" F80 (V128)        No    PURE;
    /// Extended to packed decimal. Status bits by `x.tobcd.c`.
    XToBcd    "x.tobcd"  V128 (F80)         No    GET;
    /// Sets the status bits of that conversion.
    XToBcdC   "x.tobcd.c" None (F80)        No    STATE;
    /// Ten bytes of an extended real in a vector.
    XBits     "x.bits"   V128 (F80)         No    PURE;
    /// The reverse.
    XFrom     "x.from"   F80  (V128)        No    PURE;
    /// The full tag word: two bits for each physical register (SDM vol. 1, section 8.1.7).
    XTagW     "x.tagw"   I16  ()            No    GET;
    /// Tags from a full tag word: only "empty" counts.
    XSetTagW  "x.settagw" None (I16)        No    STATE;
    /// Physical register number immediate, or 8 + i for ST(i), without stack check (fsave, fxsave, MMX).
    XGetPhys  "x.getphys" F80 ()            Num   GET;
    /// The reverse; the tag is not changed.
    XSetPhys  "x.setphys" None (F80)        Num   SET;

    // ---- what AVX needs besides ---------------------------------------------------------------------------------------
    /// Stores 32 bytes at a, c in the upper half, all of them or, when a part of them faults, none. Immediate as for `ld`.
    StPair    "stpair"   None (I64 V128 V128) Num WRITE;
    /// c, and in the lane of type T that bits 8 and up of the immediate name what is at a, if the sign bit of that lane of b is set. Bit 1 as for `ld`.
    LdLane    "ldlane"   V128 (I64 V128 V128) Num READ;
    /// Loads those lanes of type T at a whose lane of b has its sign bit set; the others are 0 and do not fault. Immediate bit 1 as for `ld`.
    LdMask    "ldmask"   V128 (I64 V128)    Num   READ;
    /// Stores those lanes of b at a whose lane of c has its sign bit set. Immediate bit 1 as for `ld`.
    StMask    "stmask"   None (I64 V128 V128) Num WRITE;
    /// Faults like `stmask` with mask b would, and stores nothing.
    ProbeMask "probemask" None (I64 V128)   Num   WRITE;
    /// Lanes of a shifted left by the lanes of b; 0 when that is the width or more.
    VShlV     "vshlv"    V128 (V128 V128)   No    PURE;
    /// Lanes shifted right, zeros in.
    VShrV     "vshrv"    V128 (V128 V128)   No    PURE;
    /// Lanes shifted right, signs in.
    VSarV     "vsarv"    V128 (V128 V128)   No    PURE;
    /// Result lane n is the lane that lane n of c names in the concatenation a, b, modulo its length.
    VPerm     "vperm"    V128 (V128 V128 V128) No PURE;
    /// Bytes as elements of GF(2^8); the immediate is a [`GaloisFn`] (of the affine ones: with the constant above bit 8).
    VGalois   "vgalois"  V128 (V128 V128)   Num   PURE;
    /// An operation of 3DNow! on the low halves, with zeros in the upper one: a [`Now3dFn`] immediate.
    VNow3d    "vnow3d"   V128 (V128 V128)   Num   PURE;
    /// All ones where predicate 0..=31 of `vcmpps` (low five bits of the immediate) holds.
    FCmpX     "fcmpx"    V128 (V128 V128)   Num   STATE_FAULT;
    /// One operation on two vectors: its exceptions are those of all lanes together. Operands of the low half, then of the high half; bits 16 and up of
    /// the immediate: which of [`WIDE`]. The result's low half.
    FLo       "flo"      V128 (V128 V128 V128 V128) Num STATE_FAULT;
    /// The high half of the same; it comes behind it.
    FHi       "fhi"      V128 (V128 V128 V128 V128) Num GET;
    /// The flags that [`Op::FLo`] of these operands would raise; nothing changes.
    FFlags    "fflags"   I32  (V128 V128 V128 V128) Num GET;
    /// a * b + c, rounded once. Immediate bit 0: the product negated, bit 1: c negated, bit 2: c negated in even lanes, bit 3: in odd ones, bit 8: all
    /// lanes, else lane 0, other lanes from a. A NaN among the operands is looked for in their order. d: flags that other lanes raise, as
    /// [`Op::FFmaFl`] gives them.
    FFma      "ffma"     V128 (V128 V128 V128 I32) Num STATE_FAULT;
    /// The flags that the same would raise; nothing changes.
    FFmaFl    "ffma.fl"  I32  (V128 V128 V128) Num GET;
    /// Its result, without raising flags: those were given to another [`Op::FFma`].
    FFmaHi    "ffma.hi"  V128 (V128 V128 V128) Num GET;
}

impl Op {
    /// Whether one of its operands is, or for `sel` may be, a flags value.
    #[inline(always)]
    pub const fn takes_flags(self) -> bool {
        TAKES_FLAGS[self as usize] || matches!(self, Op::Sel)
    }

    /// What a backward traversal has to look at ([`traits`]).
    #[inline(always)]
    pub(crate) fn traits(self) -> u8 {
        TRAITS[self as usize]
    }

    /// Whether it is SSE arithmetic: it reads MXCSR, raises sticky bits there and may raise #XM.
    #[inline]
    pub const fn is_sse_arithmetic(self) -> bool {
        use Op::*;
        matches!(
            self,
            FAdd | FSub
                | FMul
                | FDiv
                | FMin
                | FMax
                | FSqrt
                | FCmp
                | FCmpX
                | FLo
                | FFma
                | FAddSub
                | FHAdd
                | FHSub
                | FRound
                | FDot
                | FComi
                | FFromInt
                | FToInt
                | FCvt
                | FCvtP
        )
    }

    /// Whether it computes flags from integers.
    #[inline]
    pub const fn is_flags_of_integers(self) -> bool {
        use Op::*;
        matches!(
            self,
            FlAdd
                | FlAdc
                | FlSub
                | FlSbb
                | FlAddR
                | FlSubR
                | FlLogic
                | FlShl
                | FlShr
                | FlSar
                | FlRol
                | FlRor
                | FlRcl
                | FlRcr
                | FlShlD
                | FlShrD
                | FlFrom
        )
    }

    /// Whether it reads or writes x87 state.
    #[inline]
    pub fn touches_x87(self) -> bool {
        (Op::XChk as u8..=Op::XSetPhys as u8).contains(&(self as u8)) && self.effects() != Effects::PURE
    }

    /// Number of operands.
    #[inline(always)]
    pub fn arity(self) -> usize {
        usize::from(ARITY[self as usize])
    }

    /// Type of the result.
    #[inline(always)]
    pub fn result(self) -> TyRule {
        RESULTS[self as usize]
    }

    /// Type of the result of an instruction of type `ty`.
    #[inline(always)]
    pub fn result_type(self, ty: Ty) -> Ty {
        RESULT_TYPES[self as usize].unwrap_or(ty)
    }

    /// What it does besides computing its result.
    #[inline(always)]
    pub fn effects(self) -> Effects {
        EFFECTS[self as usize]
    }

    /// This operation's line in the table.
    #[inline]
    pub fn info(self) -> &'static OpInfo {
        &Op::TABLE[self as usize]
    }

    /// The operation of that name.
    pub fn parse(name: &str) -> Option<Op> {
        Op::ALL.iter().copied().find(|op| op.info().name == name)
    }
}

macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])* $variant:ident,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum $name { $($(#[doc = $doc])* $variant,)* }
        impl $name {
            /// All of them, in number order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// The one with this number.
            pub fn from_imm(imm: u64) -> Option<$name> {
                $name::ALL.get(usize::try_from(imm).ok()?).copied()
            }
        }
    };
}

numbered! {
    /// Packed conversions (immediate of [`Op::FCvtP`]).
    PackedCvt {
        /// Two low binary32 to two binary64.
        PsToPd,
        /// Two binary64 to two low binary32, high half zero.
        PdToPs,
        /// Four i32 to four binary32.
        DqToPs,
        /// Two low i32 to two binary64.
        DqToPd,
        /// Four binary32 to i32.
        PsToDq,
        /// The same, truncating.
        PsToDqTrunc,
        /// Two binary64 to two low i32, high half zero.
        PdToDq,
        /// The same, truncating.
        PdToDqTrunc,
        /// Two low i32 to two low binary32, upper half zero (cvtpi2ps).
        PiToPs,
        /// Two low binary32 to two low i32, upper half zero (cvtps2pi).
        PsToPi,
        /// The same, truncating.
        PsToPiTrunc,
        /// Four low binary16 to four binary32.
        PhToPs,
        /// Four binary32 to four low binary16, high half zero. Bits 8 to 10 of the immediate: rounding as for vcvtps2ph.
        PsToPh,
    }
}

/// What [`Op::FLo`] and [`Op::FHi`] do, by bits 16 and up of their immediate; the low bits are that operation's.
pub const WIDE: [Op; 14] = {
    use Op::*;
    [FAdd, FSub, FMul, FDiv, FMin, FMax, FSqrt, FCmpX, FAddSub, FHAdd, FHSub, FRound, FDot, FCvtP]
};

numbered! {
    /// Operations on bytes as polynomials over GF(2) (immediate of [`Op::VGalois`]).
    GaloisFn {
        /// gf2p8mulb: products modulo x^8 + x^4 + x^3 + x + 1.
        Multiply,
        /// gf2p8affineqb: bytes of a times the matrix in the quadword of b, plus a constant.
        Affine,
        /// gf2p8affineinvqb: the same of their inverses.
        AffineInverse,
    }
}

numbered! {
    /// 3DNow! (immediate of [`Op::VNow3d`]), on pairs of binary32 unless it says otherwise.
    Now3dFn {
        /// pfadd.
        Add,
        /// pfsub.
        Sub,
        /// pfsubr.
        SubReverse,
        /// pfmul.
        Mul,
        /// pfacc.
        Accumulate,
        /// pfnacc.
        NegativeAccumulate,
        /// pfpnacc.
        MixedAccumulate,
        /// pfcmpeq.
        CompareEq,
        /// pfcmpgt.
        CompareGt,
        /// pfcmpge.
        CompareGe,
        /// pfmax.
        Max,
        /// pfmin.
        Min,
        /// pfrcp.
        Reciprocal,
        /// pfrsqrt.
        ReciprocalRoot,
        /// pfrcpit1.
        ReciprocalStep1,
        /// pfrsqit1.
        ReciprocalRootStep1,
        /// pfrcpit2.
        Step2,
        /// pf2id.
        ToInt,
        /// pf2iw.
        ToInt16,
        /// pi2fd.
        FromInt,
        /// pi2fw.
        FromInt16,
        /// pmulhrw, of words.
        MulHighRound,
        /// pswapd.
        Swap,
    }
}

numbered! {
    /// Steps of AES (immediate of [`Op::VAes`]).
    AesFn {
        /// aesenc.
        Enc,
        /// aesenclast.
        EncLast,
        /// aesdec.
        Dec,
        /// aesdeclast.
        DecLast,
        /// aesimc of b.
        InverseMixColumns,
        /// aeskeygenassist of b.
        KeyGenAssist,
    }
}

numbered! {
    /// Steps of SHA-1 and SHA-256 (immediate of [`Op::VSha`]).
    ShaFn {
        /// sha1rnds4.
        Sha1Rnds4,
        /// sha1nexte.
        Sha1NextE,
        /// sha1msg1.
        Sha1Msg1,
        /// sha1msg2.
        Sha1Msg2,
        /// sha256rnds2; c is the implicit XMM0.
        Sha256Rnds2,
        /// sha256msg1.
        Sha256Msg1,
        /// sha256msg2.
        Sha256Msg2,
    }
}

numbered! {
    /// x87 instructions that work on the register stack as a whole (immediate of [`Op::XFn`]).
    X87Fn {
        /// Change sign.
        Fchs,
        /// Absolute value.
        Fabs,
        /// Compare with 0.
        Ftst,
        /// Classify.
        Fxam,
        /// Square root.
        Fsqrt,
        /// Round to integer.
        Frndint,
        /// Scale by power of two.
        Fscale,
        /// Split exponent and significand.
        Fxtract,
        /// Partial remainder, truncating.
        Fprem,
        /// Partial remainder, to nearest.
        Fprem1,
        /// 2^x - 1.
        F2xm1,
        /// y * log2 x.
        Fyl2x,
        /// y * log2 (x + 1).
        Fyl2xp1,
        /// Partial tangent.
        Fptan,
        /// Partial arctangent.
        Fpatan,
        /// Sine.
        Fsin,
        /// Cosine.
        Fcos,
        /// Sine and cosine.
        Fsincos,
        /// Push 1.
        Fld1,
        /// Push log2 10.
        Fldl2t,
        /// Push log2 e.
        Fldl2e,
        /// Push pi.
        Fldpi,
        /// Push log10 2.
        Fldlg2,
        /// Push ln 2.
        Fldln2,
        /// Push 0.
        Fldz,
        /// TOP - 1.
        Fdecstp,
        /// TOP + 1.
        Fincstp,
        /// Initialise.
        Fninit,
        /// Clear exceptions.
        Fnclex,
        /// Empty the stack (MMX exit).
        Emms,
        /// MMX entry: TOP = 0, all tags valid.
        EnterMmx,
        /// Check that a push has room: stack overflow otherwise.
        WillPush,
        /// Clear condition code C1.
        ClearC1,
        /// Recompute the summary bits after a new control word.
        Fixup,
        /// Mark ST(0) empty.
        Ffree0,
        /// ST(1).
        Ffree1,
        /// ST(2).
        Ffree2,
        /// ST(3).
        Ffree3,
        /// ST(4).
        Ffree4,
        /// ST(5).
        Ffree5,
        /// ST(6).
        Ffree6,
        /// ST(7).
        Ffree7,
        /// Exchange ST(0) with ST(i).
        Fxch0,
        /// ST(1).
        Fxch1,
        /// ST(2).
        Fxch2,
        /// ST(3).
        Fxch3,
        /// ST(4).
        Fxch4,
        /// ST(5).
        Fxch5,
        /// ST(6).
        Fxch6,
        /// ST(7).
        Fxch7,
        /// Copy ST(0) to ST(i), unless it is empty (fstpnce, which has no stack fault).
        Copy0,
        /// ST(1).
        Copy1,
        /// ST(2).
        Copy2,
        /// ST(3).
        Copy3,
        /// ST(4).
        Copy4,
        /// ST(5).
        Copy5,
        /// ST(6).
        Copy6,
        /// ST(7).
        Copy7,
    }
}
