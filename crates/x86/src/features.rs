//! What the guest's processor can do: one table of features, the named models made of them, and the text that users write.
//!
//! CPUID, /proc/cpuinfo and the lifter all go by the same [`Features`]: what is not advertised raises #UD. What every 64-bit processor has is in no
//! set. The models are the levels of the x86-64 psABI (section 3.1.1), [`Features::MAX`] is everything there is here.

use iced_x86::{Code, CpuidFeature as Known};

/// Where CPUID tells of a feature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Leaf 1, ECX.
    Basic,
    /// Leaf 7, EBX.
    Structured,
    /// Leaf 7, ECX.
    StructuredMore,
    /// Leaf 0x80000001, ECX.
    Extended,
    /// Leaf 0x80000001, EDX.
    ExtendedMore,
    /// Leaf 13, subleaf 1, EAX.
    Xsave,
}

/// A set of features.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Features(u64);

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    /// The feature alone.
    pub is: Features,
    /// Its name on the command line and, but for `.` and `_`, in /proc/cpuinfo.
    pub name: &'static str,
    /// Its CPUID register.
    pub place: Place,
    /// Its bit there.
    pub bit: u32,
    /// What it cannot be without.
    needs: Features,
}

macro_rules! features {
    ($($name:ident $text:literal $place:ident $bit:literal ($($needs:ident)*);)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Number { $($name),* }
        #[allow(missing_docs)]
        impl Features {
            $(pub const $name: Features = Features(1 << Number::$name as u32);)*
            /// The table.
            pub const ALL: &'static [Feature] = &[$(Feature {
                is: Features::$name, name: $text, place: Place::$place, bit: $bit, needs: Features(0 $(| Features::$needs.0)*),
            }),*];
        }
    };
}

#[rustfmt::skip]
features! {
    SSE3       "sse3"       Basic          0  ();
    PCLMULQDQ  "pclmulqdq"  Basic          1  (SSE3);
    SSSE3      "ssse3"      Basic          9  (SSE3);
    FMA        "fma"        Basic          12 (AVX);
    CX16       "cx16"       Basic          13 ();
    SSE4_1     "sse4.1"     Basic          19 (SSSE3);
    SSE4_2     "sse4.2"     Basic          20 (SSE4_1);
    MOVBE      "movbe"      Basic          22 ();
    POPCNT     "popcnt"     Basic          23 ();
    AES        "aes"        Basic          25 (SSE3);
    XSAVE      "xsave"      Basic          26 ();
    AVX        "avx"        Basic          28 (SSE4_2 XSAVE);
    F16C       "f16c"       Basic          29 (AVX);
    RDRAND     "rdrand"     Basic          30 ();
    FSGSBASE   "fsgsbase"   Structured     0  ();
    BMI1       "bmi1"       Structured     3  ();
    AVX2       "avx2"       Structured     5  (AVX);
    BMI2       "bmi2"       Structured     8  ();
    RDSEED     "rdseed"     Structured     18 ();
    ADX        "adx"        Structured     19 ();
    SHA        "sha"        Structured     29 (SSE3);
    GFNI       "gfni"       StructuredMore 8  (SSE3);
    VAES       "vaes"       StructuredMore 9  (AVX2 AES);
    VPCLMULQDQ "vpclmulqdq" StructuredMore 10 (AVX2 PCLMULQDQ);
    RDPID      "rdpid"      StructuredMore 22 ();
    LAHF       "lahf"       Extended       0  ();
    LZCNT      "lzcnt"      Extended       5  ();
    PREFETCHW  "prefetchw"  Extended       8  ();
    XSAVEOPT   "xsaveopt"   Xsave          0  (XSAVE);
    XSAVEC     "xsavec"     Xsave          1  (XSAVE);
    XGETBV1    "xgetbv1"    Xsave          2  (XSAVE);
    SSE4A      "sse4a"      Extended       6  (SSE3);
    NOW3D      "3dnow"      ExtendedMore   31 ();
    NOW3DEXT   "3dnowext"   ExtendedMore   30 (NOW3D);
}

const fn union(all: &[Features]) -> Features {
    let (mut sum, mut i) = (0, 0);
    while i < all.len() {
        sum |= all[i].0;
        i += 1;
    }
    Features(sum)
}

impl Default for Features {
    fn default() -> Features {
        Features::DEFAULT
    }
}

impl Features {
    /// The first 64-bit processors.
    pub const V1: Features = Features(0);
    /// x86-64-v2.
    pub const V2: Features = union(&[
        Features::CX16,
        Features::LAHF,
        Features::POPCNT,
        Features::SSE3,
        Features::SSSE3,
        Features::SSE4_1,
        Features::SSE4_2,
    ]);
    /// x86-64-v3.
    pub const V3: Features = union(&[
        Features::V2,
        Features::AVX,
        Features::AVX2,
        Features::BMI1,
        Features::BMI2,
        Features::F16C,
        Features::FMA,
        Features::LZCNT,
        Features::MOVBE,
        Features::XSAVE,
    ]);
    /// All of the table.
    const EVERYTHING: Features = Features((1 << Features::ALL.len()) - 1);
    /// All but 3DNow!, which no processor has any more, and which programs would take for quick.
    pub const MAX: Features = Features(Features::EVERYTHING.0 & !Features::NOW3D.0 & !Features::NOW3DEXT.0);
    /// Without being asked: x86-64-v2, and what works on general and XMM registers beyond it. No AVX yet, because C libraries choose their string
    /// functions by it, and the hosts' emitters leave it to the interpreter; and so no XSAVE, which makes the signal frame the plain FXSAVE one.
    pub const DEFAULT: Features = union(&[
        Features::V2,
        Features::MOVBE,
        Features::LZCNT,
        Features::BMI1,
        Features::BMI2,
        Features::ADX,
        Features::AES,
        Features::PCLMULQDQ,
        Features::SHA,
        Features::PREFETCHW,
    ]);
    /// The models by name.
    pub const MODELS: [(&'static str, Features); 5] = [
        ("default", Features::DEFAULT),
        ("x86-64", Features::V1),
        ("x86-64-v2", Features::V2),
        ("x86-64-v3", Features::V3),
        ("max", Features::MAX),
    ];

    /// Whether all of `other` are there.
    pub const fn has(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// As a number, for [`Features::from_bits`].
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The reverse; features that do not exist are left out.
    pub const fn from_bits(bits: u64) -> Features {
        Features(bits & Features::EVERYTHING.0)
    }

    /// The bits of a CPUID register.
    pub fn register(self, place: Place) -> u32 {
        Features::ALL.iter().filter(|f| f.place == place && self.has(f.is)).fold(0, |bits, f| bits | 1 << f.bit)
    }

    /// XCR0: the components of the state that XSAVE knows.
    pub const fn xcr0(self) -> u64 {
        if self.has(Features::AVX) {
            7
        } else if self.has(Features::XSAVE) {
            3
        } else {
            0
        }
    }

    /// With a feature and what it needs.
    fn with(self, feature: &Feature) -> Features {
        let needed = Features::ALL.iter().filter(|f| feature.needs.has(f.is));
        needed.fold(Features(self.0 | feature.is.0), |sum, f| sum.with(f))
    }

    /// Without a feature and what needs it.
    fn without(self, feature: &Feature) -> Features {
        let needy = Features::ALL.iter().filter(|f| self.has(f.is) && f.needs.has(feature.is));
        needy.fold(Features(self.0 & !feature.is.0), |rest, f| rest.without(f))
    }

    /// What a user says: a model, then features with `+` or `-` before them.
    ///
    /// # Errors
    /// One line that names what is unknown.
    pub fn parse(text: &str) -> Result<Features, String> {
        let mut words = text.split(',');
        let name = words.next().unwrap_or_default();
        let model = Features::MODELS.iter().find(|m| m.0 == name);
        let mut all = match model {
            Some(model) => model.1,
            None => {
                let names: Vec<&str> = Features::MODELS.iter().map(|m| m.0).collect();
                return Err(format!("no processor model {name:?}; there are {}", names.join(", ")));
            }
        };
        for word in words {
            let (on, name) = match word.strip_prefix('-') {
                Some(name) => (false, name),
                None => (true, word.strip_prefix('+').unwrap_or(word)),
            };
            let Some(feature) = Features::ALL.iter().find(|f| f.name == name) else {
                let names: Vec<&str> = Features::ALL.iter().map(|f| f.name).collect();
                return Err(format!("no processor feature {name:?}; there are {}", names.join(", ")));
            };
            all = if on { all.with(feature) } else { all.without(feature) };
        }
        Ok(all)
    }

    /// Whether a processor with these features has the instruction.
    pub fn allow(self, code: Code) -> bool {
        let needed = code.cpuid_features().iter().try_fold(0, |sum, f| Some(sum | of(*f)?.0));
        needed.is_some_and(|needed| self.has(Features(needed)))
    }
}

/// What stands for a feature in the decoder's table; `None`: nothing here has it.
fn of(feature: Known) -> Option<Features> {
    Some(match feature {
        Known::SSE3 => Features::SSE3,
        Known::PCLMULQDQ => Features::PCLMULQDQ,
        Known::SSSE3 => Features::SSSE3,
        Known::FMA => Features::FMA,
        Known::CMPXCHG16B => Features::CX16,
        Known::SSE4_1 => Features::SSE4_1,
        Known::SSE4_2 => Features::SSE4_2,
        Known::MOVBE => Features::MOVBE,
        Known::POPCNT => Features::POPCNT,
        Known::AES => Features::AES,
        Known::XSAVE => Features::XSAVE,
        Known::AVX => Features::AVX,
        Known::F16C => Features::F16C,
        Known::RDRAND => Features::RDRAND,
        Known::FSGSBASE => Features::FSGSBASE,
        Known::BMI1 => Features::BMI1,
        Known::AVX2 => Features::AVX2,
        Known::BMI2 => Features::BMI2,
        Known::RDSEED => Features::RDSEED,
        Known::ADX => Features::ADX,
        Known::SHA => Features::SHA,
        Known::GFNI => Features::GFNI,
        Known::VAES => Features::VAES,
        Known::VPCLMULQDQ => Features::VPCLMULQDQ,
        Known::RDPID => Features::RDPID,
        Known::XSAVEOPT => Features::XSAVEOPT,
        Known::XSAVEC => Features::XSAVEC,
        Known::PREFETCHW => Features::PREFETCHW,
        Known::SSE4A => Features::SSE4A,
        Known::D3NOW => Features::NOW3D,
        Known::D3NOWEXT => Features::NOW3DEXT,
        // What every 64-bit processor has. Hints of later ones do nothing there.
        Known::INTEL8086
        | Known::INTEL186
        | Known::INTEL286
        | Known::INTEL386
        | Known::INTEL486
        | Known::X64
        | Known::FPU
        | Known::FPU287
        | Known::FPU387
        | Known::CMOV
        | Known::CX8
        | Known::CPUID
        | Known::MMX
        | Known::FXSR
        | Known::SSE
        | Known::SSE2
        | Known::CLFSH
        | Known::MSR
        | Known::TSC
        | Known::RDTSCP
        | Known::RDPMC
        | Known::SEP
        | Known::SYSCALL
        | Known::PAUSE
        | Known::MULTIBYTENOP
        | Known::CET_IBT
        | Known::CET_SS
        | Known::CLDEMOTE
        | Known::PREFETCHITI
        | Known::PREFETCHWT1 => Features::V1,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_and_toggles() {
        assert_eq!(Features::parse("max"), Ok(Features::MAX));
        assert_eq!(Features::parse("x86-64-v3"), Ok(Features::V3));
        assert_eq!(Features::parse("x86-64"), Ok(Features::V1));
        let less = Features::parse("max,-avx2").unwrap();
        // What needs AVX2 goes with it; what it needs stays.
        assert!(less.has(Features::AVX) && !less.has(Features::VAES) && !less.has(Features::AVX2));
        let more = Features::parse("x86-64,+avx2,sha").unwrap();
        assert!(more.has(Features::XSAVE) && more.has(Features::SSE4_2) && more.has(Features::SHA));
        assert!(!more.has(Features::AES));
        assert!(Features::parse("max,-xsave").unwrap().xcr0() == 0);
        assert!(Features::parse("i486").unwrap_err().contains("x86-64-v3"));
        assert!(Features::parse("max,-avx512f").unwrap_err().contains("avx512f"));
        assert!(Features::parse("").is_err());
    }

    #[test]
    fn instructions_go_by_features() {
        assert!(Features::V3.allow(Code::VEX_Vaddps_ymm_ymm_ymmm256));
        assert!(!Features::DEFAULT.allow(Code::VEX_Vaddps_xmm_xmm_xmmm128));
        assert!(Features::V1.allow(Code::Addps_xmm_xmmm128));
        assert!(!Features::V3.allow(Code::VEX_Vaesenc_ymm_ymm_ymmm256));
        assert!(!Features::V3.allow(Code::VEX_Vpdpbusd_ymm_ymm_ymmm256));
        assert!(Features::MAX.allow(Code::VEX_Vaesenc_ymm_ymm_ymmm256));
        assert!(Features::DEFAULT.allow(Code::Aesenc_xmm_xmmm128));
    }

    #[test]
    fn every_model_is_closed() {
        for (name, model) in Features::MODELS {
            for f in Features::ALL {
                assert!(!model.has(f.is) || model.has(f.needs), "{name}: {}", f.name);
            }
        }
    }
}
