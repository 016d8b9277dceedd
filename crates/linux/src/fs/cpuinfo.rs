//! /proc/cpuinfo of an x86 kernel, from what CPUID tells the guest.

use demotic_x86::cpuid::cpuid;
use demotic_x86::features::Features;
use std::fmt::Write;

/// The file's text: one block per processor that this process may use.
pub fn text(features: Features) -> String {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpu = Identity::read(features);
    let mut out = String::new();
    for index in 0..count {
        let _ = write!(
            out,
            "processor\t: {index}\nvendor_id\t: {}\ncpu family\t: {}\nmodel\t\t: {}\nmodel name\t: {}\nstepping\t: {}\n\
             cpu MHz\t\t: 2000.000\ncache size\t: 1024 KB\nphysical id\t: 0\nsiblings\t: {count}\ncore id\t\t: {index}\n\
             cpu cores\t: {count}\napicid\t\t: {index}\ninitial apicid\t: {index}\nfpu\t\t: yes\nfpu_exception\t: yes\n\
             cpuid level\t: {}\nwp\t\t: yes\nflags\t\t: {}\nbugs\t\t:\nbogomips\t: 4000.00\nclflush size\t: 64\n\
             cache_alignment\t: 64\naddress sizes\t: 40 bits physical, 48 bits virtual\npower management:\n\n",
            cpu.vendor, cpu.family, cpu.model, cpu.name, cpu.stepping, cpu.level, cpu.flags
        );
    }
    out
}

/// Flag names as the kernel spells them (arch/x86/include/asm/cpufeatures.h), by CPUID register and bit.
const EDX: &[(u32, &str)] = &[
    (0, "fpu"),
    (3, "pse"),
    (4, "tsc"),
    (5, "msr"),
    (6, "pae"),
    (8, "cx8"),
    (11, "sep"),
    (15, "cmov"),
    (19, "clflush"),
    (23, "mmx"),
    (24, "fxsr"),
    (25, "sse"),
    (26, "sse2"),
    (28, "ht"),
];
const EXTENDED_EDX: &[(u32, &str)] =
    &[(11, "syscall"), (20, "nx"), (27, "rdtscp"), (29, "lm"), (30, "3dnowext"), (31, "3dnow")];
const ECX: &[(u32, &str)] = &[
    (0, "pni"),
    (1, "pclmulqdq"),
    (9, "ssse3"),
    (12, "fma"),
    (13, "cx16"),
    (19, "sse4_1"),
    (20, "sse4_2"),
    (22, "movbe"),
    (23, "popcnt"),
    (25, "aes"),
    (26, "xsave"),
    (28, "avx"),
    (29, "f16c"),
    (30, "rdrand"),
];
const EXTENDED_ECX: &[(u32, &str)] = &[(0, "lahf_lm"), (5, "abm"), (6, "sse4a"), (8, "3dnowprefetch")];
const LEAF7_EBX: &[(u32, &str)] =
    &[(0, "fsgsbase"), (3, "bmi1"), (5, "avx2"), (8, "bmi2"), (9, "erms"), (18, "rdseed"), (19, "adx"), (29, "sha_ni")];
const LEAF7_ECX: &[(u32, &str)] = &[(8, "gfni"), (9, "vaes"), (10, "vpclmulqdq"), (22, "rdpid")];
const LEAF13_EAX: &[(u32, &str)] = &[(0, "xsaveopt"), (1, "xsavec"), (2, "xgetbv1")];

/// What the leaves say.
struct Identity {
    vendor: String,
    name: String,
    family: u32,
    model: u32,
    stepping: u32,
    level: u32,
    flags: String,
}

/// The text in registers, without the padding.
fn words(words: &[u32]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).filter(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&bytes).trim().to_string()
}

impl Identity {
    fn read(features: Features) -> Identity {
        let leaf = |number| cpuid(features, number, 0, 0, 1);
        let [level, b, c, d] = leaf(0);
        let vendor = words(&[b, d, c]);
        let [signature, _, ecx, edx] = leaf(1);
        // SDM vol. 2, CPUID, figure 3-6: the extended fields count for families 6 and 15.
        let (base, extended) = (signature >> 8 & 15, signature >> 20 & 255);
        let family = if base == 15 { base + extended } else { base };
        let model = signature >> 4 & 15 | if matches!(base, 6 | 15) { signature >> 16 & 15 } else { 0 } << 4;
        let [_, _, extended_ecx, extended_edx] = leaf(0x8000_0001);
        let brand = [leaf(0x8000_0002), leaf(0x8000_0003), leaf(0x8000_0004)].concat();
        let sources = [
            (edx, EDX),
            (extended_edx, EXTENDED_EDX),
            (ecx, ECX),
            (extended_ecx, EXTENDED_ECX),
            (leaf(7)[1], LEAF7_EBX),
            (cpuid(features, 13, 1, 0, 1)[0], LEAF13_EAX),
            (leaf(7)[2], LEAF7_ECX),
        ];
        let names: Vec<&str> = sources
            .iter()
            .flat_map(|(word, names)| names.iter().filter(move |(bit, _)| word >> bit & 1 == 1))
            .map(|(_, name)| *name)
            .collect();
        Identity { vendor, name: words(&brand), family, model, stepping: signature & 15, level, flags: names.join(" ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_the_guest_cpu() {
        let text = text(Features::DEFAULT);
        assert!(text.contains("vendor_id\t: GenuineIntel\n"));
        assert!(text.contains("cpu family\t: 6\nmodel\t\t: 26\n"), "{text}");
        let flags = text.lines().find(|line| line.starts_with("flags")).unwrap();
        assert!(flags.split(' ').any(|flag| flag == "sse2") && flags.split(' ').any(|flag| flag == "cx16"));
    }

    #[test]
    fn every_feature_has_its_name() {
        let text = text(Features::parse("max,+3dnowext").unwrap());
        let flags: Vec<&str> = text.lines().find(|l| l.starts_with("flags")).unwrap().split([' ', '\t']).collect();
        for feature in Features::ALL {
            // The kernel has other names for some.
            let name = match feature.name {
                "sse3" => "pni",
                "lahf" => "lahf_lm",
                "lzcnt" => "abm",
                "prefetchw" => "3dnowprefetch",
                "sha" => "sha_ni",
                name => &name.replace('.', "_"),
            };
            assert!(flags.contains(&name), "{name} in {flags:?}");
        }
    }
}
