//! The initial stack: strings, auxiliary vector, environment, arguments (System V ABI, 3.4.1; create_elf_tables in
//! fs/binfmt_elf.c). Built as bytes from the top down and stored with one copy.

use crate::errno::Errno;
use crate::uaccess::Mem;

/// Types of auxiliary vector entries (linux/auxvec.h, asm/auxvec.h).
pub mod at {
    #![allow(missing_docs)]
    pub const NULL: u64 = 0;
    pub const PHDR: u64 = 3;
    pub const PHENT: u64 = 4;
    pub const PHNUM: u64 = 5;
    pub const PAGESZ: u64 = 6;
    pub const BASE: u64 = 7;
    pub const FLAGS: u64 = 8;
    pub const ENTRY: u64 = 9;
    pub const UID: u64 = 11;
    pub const EUID: u64 = 12;
    pub const GID: u64 = 13;
    pub const EGID: u64 = 14;
    pub const PLATFORM: u64 = 15;
    pub const HWCAP: u64 = 16;
    pub const CLKTCK: u64 = 17;
    pub const SECURE: u64 = 23;
    pub const RANDOM: u64 = 25;
    pub const HWCAP2: u64 = 26;
    pub const EXECFN: u64 = 31;
    pub const MINSIGSTKSZ: u64 = 51;
}

/// What the stack is made of.
#[derive(Clone, Debug)]
pub struct Contents<'a> {
    /// i386: words of 4 bytes.
    pub is_32bit: bool,
    /// Arguments without terminators.
    pub args: &'a [Vec<u8>],
    /// Environment entries without terminators.
    pub env: &'a [Vec<u8>],
    /// AT_EXECFN: the path as given to execve(2).
    pub execfn: &'a [u8],
    /// AT_RANDOM's bytes.
    pub random: [u8; 16],
    /// Entries whose values are known; those that point into the stack are added here.
    pub auxv: &'a [(u64, u64)],
}

/// What was built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Built {
    /// Initial stack pointer, a multiple of 16; `argc` is there.
    pub sp: u64,
    /// The auxiliary vector's bytes, as /proc/self/auxv shows them.
    pub auxv: Vec<u8>,
    /// First address of the argument strings and address behind them.
    pub arg_range: (u64, u64),
    /// The same for the environment.
    pub env_range: (u64, u64),
}

/// Stores the initial stack below `top`.
///
/// # Errors
/// E2BIG if it does not fit between `bottom` and `top`, EFAULT if that is not memory.
pub fn build(mem: &Mem, bottom: u64, top: u64, contents: &Contents<'_>) -> Result<Built, Errno> {
    let (bytes, built) = layout(top, contents)?;
    if built.sp < bottom {
        return Err(Errno::E2BIG);
    }
    mem.write_bytes(built.sp, &bytes)?;
    Ok(built)
}

/// The stack's bytes, from the initial stack pointer to `top`.
fn layout(top: u64, contents: &Contents<'_>) -> Result<(Vec<u8>, Built), Errno> {
    // Upper part: strings, from low to high argv, envp, execfn, then one zero word at the very top.
    let mut strings = Vec::new();
    let mut add = |bytes: &[u8]| {
        let at = strings.len() as u64;
        strings.extend_from_slice(bytes);
        strings.push(0);
        at
    };
    let platform: &[u8] = if contents.is_32bit { b"i686" } else { b"x86_64" };
    let platform_at = add(platform);
    let random_at = add(&contents.random);
    let arg_at: Vec<u64> = contents.args.iter().map(|s| add(s)).collect();
    let env_at: Vec<u64> = contents.env.iter().map(|s| add(s)).collect();
    let execfn_at = add(contents.execfn);
    strings.extend_from_slice(&[0; 8]);
    let base = top.checked_sub(strings.len() as u64).ok_or(Errno::E2BIG)? & !15;
    strings.resize((top - base) as usize, 0);

    let word = if contents.is_32bit { 4 } else { 8 };
    let mut auxv: Vec<(u64, u64)> = contents.auxv.to_vec();
    auxv.extend([
        (at::RANDOM, base + random_at),
        (at::EXECFN, base + execfn_at),
        (at::PLATFORM, base + platform_at),
        (at::NULL, 0),
    ]);
    // Lower part: argc, argv, 0, envp, 0, auxv; the stack pointer must be a multiple of 16 at argc.
    let mut words = vec![contents.args.len() as u64];
    words.extend(arg_at.iter().map(|at| base + at));
    words.push(0);
    words.extend(env_at.iter().map(|at| base + at));
    words.push(0);
    let auxv_word = words.len();
    words.extend(auxv.iter().flat_map(|&(kind, value)| [kind, value]));
    let size = words.len() as u64 * word;
    let sp = base.checked_sub(size).ok_or(Errno::E2BIG)? & !15;
    let mut bytes = Vec::with_capacity((top - sp) as usize);
    for value in words {
        bytes.extend_from_slice(&value.to_le_bytes()[..word as usize]);
    }
    let auxv = bytes[auxv_word * word as usize..].to_vec();
    bytes.resize((base - sp) as usize, 0);
    bytes.extend_from_slice(&strings);
    let first_arg = arg_at.first().map_or(0, |at| base + at);
    let args_end = env_at.first().map_or(base + execfn_at, |at| base + at);
    let arg_range = if first_arg == 0 { (args_end, args_end) } else { (first_arg, args_end) };
    Ok((bytes, Built { sp, auxv, arg_range, env_range: (args_end, base + execfn_at) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], index: usize, size: usize) -> u64 {
        let mut w = [0; 8];
        w[..size].copy_from_slice(&bytes[index * size..(index + 1) * size]);
        u64::from_le_bytes(w)
    }

    #[test]
    fn layout_is_what_start_code_expects() {
        for is_32bit in [false, true] {
            for extra in 0..5 {
                let args: Vec<Vec<u8>> = vec![b"prog".to_vec(), vec![b'x'; extra]];
                let env = [b"A=1".to_vec()];
                let contents = Contents {
                    is_32bit,
                    args: &args,
                    env: &env,
                    execfn: b"./prog",
                    random: *b"0123456789abcdef",
                    auxv: &[(at::PAGESZ, 4096)],
                };
                let (top, size) = (0xffff_e000, if is_32bit { 4 } else { 8 });
                let (bytes, built) = layout(top, &contents).unwrap();
                assert_eq!(built.sp % 16, 0);
                assert_eq!(built.sp + bytes.len() as u64, top);
                let string = |at: u64| {
                    let rest = &bytes[(at - built.sp) as usize..];
                    rest[..rest.iter().position(|&b| b == 0).unwrap()].to_vec()
                };
                let words: Vec<u64> = (0..18).map(|i| word(&bytes, i, size)).collect();
                assert_eq!((words[0], words[3], words[5]), (2, 0, 0));
                assert_eq!(
                    (string(words[1]), string(words[2]), string(words[4])),
                    (args[0].clone(), args[1].clone(), env[0].clone())
                );
                assert_eq!(words[6..8], [at::PAGESZ, 4096]);
                assert_eq!((words[8], words[10], words[12]), (at::RANDOM, at::EXECFN, at::PLATFORM));
                assert_eq!(string(words[11]), b"./prog");
                assert_eq!(string(words[13]), if is_32bit { b"i686".to_vec() } else { b"x86_64".to_vec() });
                assert_eq!(words[14], at::NULL);
                let random = (words[9] - built.sp) as usize;
                assert_eq!(&bytes[random..random + 16], b"0123456789abcdef");
                assert_eq!(built.auxv.len(), 5 * 2 * size);
            }
        }
    }
}
