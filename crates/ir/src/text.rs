//! The text form: printing and parsing. What is printed parses back to the same unit.
//!
//! ```text
//! unit 64 {
//! block 0x401000..0x401003 {
//!   @0x401000+3
//!   v0 = get.i64 g0
//!   v1 = const.i64 0x5
//!   v2 = add.i64 v0, v1
//!   set.i64 g0, v2
//!   jump 0x401003
//! }
//! }
//! ```
//! An edge to a block of the same unit is printed as `0x401003:1` (block number behind the colon). Deferred flags stand
//! behind the terminal as `careless` and `careless return` (not [`Block::reads`], not [`Block::landing`]) and `deferred 3..7 cpazso fl.sub.i64 v0, v1`, before them, unless all are, the flags that are live there: `live cz`.

use crate::block::{Block, Deferred, Edge, Indirect, Inst, Mark, Service, Term, Unit, Val};
use crate::ops::{ImmKind, Op};
use crate::slot::Slot;
use crate::state::{Mode, eflags};
use crate::ty::Ty;
use std::fmt::{self, Write};

const FLAG_LETTERS: [(char, u32); 6] =
    [('c', eflags::CF), ('p', eflags::PF), ('a', eflags::AF), ('z', eflags::ZF), ('s', eflags::SF), ('o', eflags::OF)];
const CONDS: [&str; 16] = ["o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g"];

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "unit {} {{", self.mode.bits())?;
        for block in &self.blocks {
            write!(f, "{block}")?;
        }
        writeln!(f, "}}")
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.pc)?;
        self.block.map_or(Ok(()), |b| write!(f, ":{b}"))
    }
}

impl fmt::Display for Inst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.op.info();
        write!(f, "{}.{}", info.name, self.ty.name())?;
        let mut sep = " ";
        if info.imm != ImmKind::No {
            match info.imm {
                ImmKind::Slot => write!(f, " {}", Slot(self.imm as u8).name())?,
                ImmKind::Flags => write!(f, " {}", flag_letters(self.imm as u32))?,
                ImmKind::Cond => write!(f, " {}", CONDS[(self.imm & 15) as usize])?,
                _ => write!(f, " {:#x}", self.imm)?,
            }
            sep = ", ";
        }
        for v in self.operands() {
            write!(f, "{sep}v{}", v.0)?;
            sep = ", ";
        }
        Ok(())
    }
}

fn flag_letters(mask: u32) -> String {
    let s: String = FLAG_LETTERS.iter().filter(|(_, bit)| mask & bit != 0).map(|(c, _)| c).collect();
    if s.is_empty() { "-".into() } else { s }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Term::Jump(e) => write!(f, "jump {e}"),
            Term::Branch { cond, taken, fall } => write!(f, "branch v{}, {taken}, {fall}", cond.0),
            Term::Call { target, ret } => write!(f, "call {target}, {ret}"),
            Term::Indirect { target, kind, ret } => {
                let kind = match kind {
                    Indirect::Jump => "ijump",
                    Indirect::Call => "icall",
                    Indirect::Ret => "ret",
                };
                write!(f, "{kind} v{}", target.0)?;
                ret.map_or(Ok(()), |e| write!(f, ", {e}"))
            }
            Term::Syscall { next } => write!(f, "syscall {next:#x}"),
            Term::Sysenter { next } => write!(f, "sysenter {next:#x}"),
            Term::Interrupt { vector, next } => write!(f, "int {vector:#x}, {next:#x}"),
            Term::Fault { vector, code, pc } => write!(f, "fault {vector:#x}, {code:#x}, {pc:#x}"),
            Term::FetchFault { pc, addr } => write!(f, "fetchfault {pc:#x}, {addr:#x}"),
            Term::Unimplemented { pc } => write!(f, "unimplemented {pc:#x}"),
            Term::Service { what, args, next } => {
                write!(f, "service {}, {next:#x}", what.name())?;
                args.iter().filter(|v| **v != Val::NONE).try_for_each(|v| write!(f, ", v{}", v.0))
            }
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "block {:#x}..{:#x} {{", self.pc, self.end)?;
        let mut marks = self.marks.iter().peekable();
        for (i, inst) in self.insts.iter().enumerate() {
            while let Some(m) = marks.next_if(|m| usize::from(m.first) <= i) {
                writeln!(f, "  @{:#x}+{}", m.pc, m.len)?;
            }
            let mut line = String::from("  ");
            if inst.result() != Ty::None {
                write!(line, "v{i} = ")?;
            }
            writeln!(f, "{line}{inst}")?;
        }
        for m in marks {
            writeln!(f, "  @{:#x}+{}", m.pc, m.len)?;
        }
        writeln!(f, "  {}", self.term)?;
        if self.live_out != eflags::ARITH {
            writeln!(f, "  live {}", flag_letters(self.live_out))?;
        }
        if !self.landing {
            writeln!(f, "  careless return")?;
        }
        if !self.reads {
            writeln!(f, "  careless")?;
        }
        for d in &self.deferred {
            writeln!(f, "  deferred {}..{} {} {}", d.from, d.to, flag_letters(d.mask), d.def)?;
        }
        writeln!(f, "}}")
    }
}

/// Parses one unit. The error names the line.
pub fn parse_unit(text: &str) -> Result<Unit, String> {
    let mut unit = Unit { mode: Mode::Long, blocks: Vec::new() };
    let mut current: Option<(Block, bool)> = None;
    let mut names: Vec<Option<u16>> = Vec::new();
    for (n, raw) in text.lines().enumerate() {
        let line = raw.split(';').next().unwrap_or("").trim();
        let err = |what: &str| format!("line {}: {what}: {line}", n + 1);
        if line.is_empty() {
            continue;
        }
        let words: Vec<&str> = line.split([' ', ',']).filter(|w| !w.is_empty()).collect();
        let Some(&first) = words.first() else { return Err(err("unexpected line")) };
        match (&mut current, first) {
            (None, "unit") => {
                unit.mode = match words.get(1) {
                    Some(&"64") => Mode::Long,
                    Some(&"32") => Mode::Compat32,
                    Some(&"16") => Mode::Compat16,
                    _ => return Err(err("bad mode")),
                }
            }
            (None, "block") => {
                let (pc, end) = words
                    .get(1)
                    .and_then(|w| w.split_once(".."))
                    .and_then(|(a, b)| Some((num(a)?, num(b)?)))
                    .ok_or_else(|| err("bad block range"))?;
                let mut b = crate::build::Builder::new(pc).finish(Term::Jump(Edge::to(pc)), end);
                b.insts.clear();
                names.clear();
                current = Some((b, false));
            }
            (None, "}") => {}
            (Some(_), "}") => {
                let (block, ended) = current.take().unwrap_or_else(|| unreachable!("matched Some"));
                if !ended {
                    return Err(err("the block has no terminal"));
                }
                unit.blocks.push(block);
            }
            (Some((block, ended)), first) => {
                let mut p = Line { words: &words, at: 0, names: &names };
                if let Some(mark) = first.strip_prefix('@') {
                    let (pc, len) = mark
                        .split_once('+')
                        .and_then(|(a, b)| Some((num(a)?, b.parse().ok()?)))
                        .ok_or_else(|| err("bad mark"))?;
                    block.marks.push(Mark { first: block.insts.len() as u16, len, pc });
                } else if first == "live" {
                    p.at = 1;
                    block.live_out = p.flags().ok_or_else(|| err("bad flags"))?;
                } else if first == "careless" {
                    *(if words.len() > 1 { &mut block.landing } else { &mut block.reads }) = false;
                } else if first == "deferred" {
                    let d = p.deferred().ok_or_else(|| err("bad deferred flags"))?;
                    block.deferred.push(d);
                } else if let Some(term) = p.term() {
                    block.term = term;
                    *ended = true;
                } else {
                    p.at = 0;
                    let name = if words.get(1) == Some(&"=") {
                        p.at = 2;
                        Some(p.val_name(first).ok_or_else(|| err("bad value name"))?)
                    } else {
                        None
                    };
                    let inst = p.inst().ok_or_else(|| err("bad instruction"))?;
                    if *ended {
                        return Err(err("instruction behind the terminal"));
                    }
                    block.insts.push(inst);
                    if let Some(name) = name {
                        if names.len() <= name {
                            names.resize(name + 1, None);
                        }
                        names[name] = Some((block.insts.len() - 1) as u16);
                    }
                }
            }
            _ => return Err(err("unexpected line")),
        }
    }
    Ok(unit)
}

fn num(s: &str) -> Option<u64> {
    match s.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => s.parse().ok(),
    }
}

struct Line<'a> {
    words: &'a [&'a str],
    at: usize,
    names: &'a [Option<u16>],
}

impl Line<'_> {
    fn word(&mut self) -> Option<&str> {
        let w = self.words.get(self.at).copied();
        self.at += 1;
        w
    }
    fn num(&mut self) -> Option<u64> {
        self.word().and_then(num)
    }
    fn val_name(&self, w: &str) -> Option<usize> {
        w.strip_prefix('v')?.parse().ok().filter(|n| *n < usize::from(u16::MAX))
    }
    fn val(&mut self) -> Option<Val> {
        let w = self.words.get(self.at).copied()?;
        self.at += 1;
        let n = self.val_name(w)?;
        self.names.get(n).copied().flatten().map(Val)
    }
    fn edge(&mut self) -> Option<Edge> {
        let w = self.word()?;
        match w.split_once(':') {
            Some((pc, block)) => Some(Edge { pc: num(pc)?, block: Some(block.parse().ok()?) }),
            None => Some(Edge::to(num(w)?)),
        }
    }
    fn flags(&mut self) -> Option<u32> {
        let w = self.word()?;
        if w == "-" {
            return Some(0);
        }
        w.chars().map(|c| FLAG_LETTERS.iter().find(|(l, _)| *l == c).map(|(_, b)| *b)).try_fold(0, |m, b| Some(m | b?))
    }

    fn inst(&mut self) -> Option<Inst> {
        let head = self.word()?;
        let (name, ty) = head.rsplit_once('.')?;
        let (op, ty) = (Op::parse(name)?, Ty::parse(ty)?);
        let info = op.info();
        let imm = match info.imm {
            ImmKind::No => 0,
            ImmKind::Num | ImmKind::Pc => self.num()?,
            ImmKind::Slot => u64::from(Slot::parse(self.word()?)?.0),
            ImmKind::Flags => u64::from(self.flags()?),
            ImmKind::Cond => {
                let w = self.word()?.to_string();
                CONDS.iter().position(|c| *c == w)? as u64
            }
        };
        let mut args = [Val::NONE; 4];
        for a in args.iter_mut().take(info.args.len()) {
            *a = self.val()?;
        }
        (self.at == self.words.len()).then_some(Inst { op, ty, args, imm })
    }

    fn deferred(&mut self) -> Option<Deferred> {
        self.at = 1;
        let range = self.word()?;
        let (from, to) = range.split_once("..")?;
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        let mask = self.flags()?;
        Some(Deferred { from, to, mask, def: self.inst()? })
    }

    fn term(&mut self) -> Option<Term> {
        let first = self.word()?.to_string();
        Some(match first.as_str() {
            "jump" => Term::Jump(self.edge()?),
            "branch" => Term::Branch { cond: self.val()?, taken: self.edge()?, fall: self.edge()? },
            "call" => Term::Call { target: self.edge()?, ret: self.edge()? },
            "ijump" | "icall" | "ret" => {
                let kind = match first.as_str() {
                    "ijump" => Indirect::Jump,
                    "icall" => Indirect::Call,
                    _ => Indirect::Ret,
                };
                Term::Indirect { target: self.val()?, kind, ret: self.edge() }
            }
            "syscall" => Term::Syscall { next: self.num()? },
            "sysenter" => Term::Sysenter { next: self.num()? },
            "int" => Term::Interrupt { vector: self.num()? as u8, next: self.num()? },
            "fault" => Term::Fault { vector: self.num()? as u8, code: self.num()? as u32, pc: self.num()? },
            "fetchfault" => Term::FetchFault { pc: self.num()?, addr: self.num()? },
            "unimplemented" => Term::Unimplemented { pc: self.num()? },
            "service" => {
                let name = self.word()?.to_string();
                let what = Service::ALL.iter().find(|(_, n)| *n == name)?.0;
                let next = self.num()?;
                Term::Service { what, next, args: [self.val().unwrap_or(Val::NONE), self.val().unwrap_or(Val::NONE)] }
            }
            _ => return None,
        })
    }
}
