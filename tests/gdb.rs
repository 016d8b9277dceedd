//! Guests under a debugger: `demotic --gdb SOCKET PROGRAM` with a gdb that knows x86 attached, compared with the same commands for the
//! same program run natively by gdb; and the protocol itself, without any gdb, for what a script cannot do (Ctrl-C, detaching).

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use demotic_testkit::expect::same;
use demotic_testkit::guest::{self, Abi};
use demotic_testkit::host::{self, Host};
use demotic_testkit::run::run;
use demotic_tests::{limit, trial, with_complaint};
use libtest_mimic::Arguments;

/// Breakpoints with conditions, stacks, data, stepping, finishing, calling the program's functions.
const LOOK: &[&str] = &[
    "handle SIGUSR1 SIGUSR2 nostop noprint pass",
    "break fact if n == 3",
    "START",
    "continue",
    "backtrace",
    "info args",
    "print n",
    "print second",
    "print *second.next",
    "print half * 4",
    "print fact(4)",
    "delete 1",
    "print fact(4)",
    "stepi",
    "stepi",
    "stepi",
    "info symbol $pc",
    "x/4i $pc",
    "finish",
    "set variable $eax = 100",
    "next",
    "next",
    "info threads 2",
    "tbreak touch",
    "set variable half = 1.25",
    "continue",
    "next",
    "print $_siginfo.si_signo",
    "print $_siginfo.si_code",
    "print $_siginfo._sifields._sigfault.si_addr",
    "print where",
    "set variable where = &mended",
    "signal 0",
];

/// A thread, a watched variable, signals by table, registers read and written.
const MORE: &[&str] = &[
    "handle SIGUSR1 nostop noprint pass",
    "handle SIGUSR2 stop print nopass",
    "break work",
    "break registers_set",
    "START",
    "continue",
    "print *list",
    "print $_thread",
    "thread apply 1 -q print first.value",
    "next",
    "next",
    "watch sum",
    "continue",
    "awatch second.value",
    "rwatch first.value",
    "continue",
    "continue",
    "delete 3 4 5",
    "hbreak registers",
    "continue",
    "print taken",
    "continue",
    "print taken",
    "print $xmm5.v4_int32",
    "print $st0",
    "print/x $mxcsr",
    "print/x $fctrl",
    "set variable $xmm5.v4_int32[1] = 77",
    "set variable $st0 = 2.5",
    "set variable where = &mended",
    "continue",
];

/// A program that executes another: breakpoints are set again in the new one.
const EXEC: &[&str] = &["break main", "START exec", "continue", "info breakpoints", "continue", "print argc", "kill"];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for host in host::selected().into_iter().filter(|host| *host != Host::Native) {
        for abi in Abi::ALL.into_iter().filter(|abi| host.runs(*abi)) {
            let absent = !guest::can_build();
            // gdb itself shows what is right.
            for (case, script) in [("look", LOOK), ("more", MORE), ("exec", EXEC)] {
                let absent = absent || !cfg!(target_arch = "x86_64");
                trials.push(trial(host, abi, "gdb", case, absent, move || session(host, abi, case, script)));
            }
            for (case, body) in [("interrupt", interrupt as fn(Host, Abi) -> Result<(), String>), ("detach", detach)] {
                trials.push(trial(host, abi, "gdb", case, absent, move || body(host, abi)));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit()
}

fn program(abi: Abi) -> Result<PathBuf, String> {
    guest::heavy_program(abi, "debuggee").map_err(|e| e.to_string())
}

/// Demotic with a guest that waits for its debugger.
struct Waiting {
    demotic: Child,
    socket: PathBuf,
    output: PathBuf,
}

impl Waiting {
    fn start(host: Host, abi: Abi, case: &str, arguments: &[&str]) -> Result<Waiting, String> {
        let folder = demotic_testkit::target_dir().join(format!("guests/heavy/gdb-{}-{}", abi.name(), host.name()));
        fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        // A socket's path has some hundred bytes at most.
        let socket =
            std::env::temp_dir().join(format!("dg-{}-{}{}{case}", std::process::id(), host.name(), abi.name()));
        let _ = fs::remove_file(&socket);
        let output = folder.join(format!("{case}.out"));
        let file = fs::File::create(&output).map_err(|e| e.to_string())?;
        let mut command = host.command_with(&["--gdb", &socket.display().to_string()], &program(abi)?);
        command.args(arguments).stdin(Stdio::null()).stdout(file).stderr(Stdio::null());
        let demotic = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
        let waiting = Waiting { demotic, socket, output };
        let until = Instant::now() + limit(host);
        while !waiting.socket.exists() {
            if Instant::now() > until {
                return Err("Demotic does not wait for a debugger".to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(waiting)
    }

    /// What the program wrote, and how it ended.
    fn end(mut self, limit: Duration) -> Result<String, String> {
        let until = Instant::now() + limit;
        let status = loop {
            match self.demotic.try_wait().map_err(|e| e.to_string())? {
                Some(status) => break status,
                None if Instant::now() > until => return Err("the program does not end".to_owned()),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        Ok(format!("{}[{status}]\n", fs::read_to_string(&self.output).unwrap_or_default()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = (self.demotic.kill(), self.demotic.wait(), fs::remove_file(&self.socket));
    }
}

fn session(host: Host, abi: Abi, case: &str, script: &[&str]) -> Result<(), String> {
    let start = script.iter().find_map(|line| line.strip_prefix("START")).unwrap_or_default();
    let output =
        demotic_testkit::target_dir().join(format!("guests/heavy/gdb-{}-{case}-{}.out", abi.name(), host.name()));
    let native = gdb(&program(abi)?, script, &format!("starti {start} > {}", output.display()), host)?;
    let native = native + &fs::read_to_string(&output).map_err(|e| e.to_string())?;
    let waiting = Waiting::start(host, abi, case, &start.split_whitespace().collect::<Vec<_>>())?;
    let ours = gdb(&program(abi)?, script, &format!("target remote {}", waiting.socket.display()), host)?;
    // Its ending is in gdb's words already.
    let mut text = waiting.end(limit(host))?;
    text.truncate(text.rfind('[').unwrap_or(0));
    same(&native, &(ours + &text))
}

/// gdb's words for a script, without what differs between two runs of the same program.
fn gdb(program: &Path, script: &[&str], start: &str, host: Host) -> Result<String, String> {
    let mut command = Command::new("gdb");
    command.args(["-nx", "-q", "-batch"]);
    let settings = ["pagination off", "confirm off", "width 0", "print thread-events off", "remotetimeout 120"];
    for line in settings {
        command.args(["-ex", &format!("set {line}")]);
    }
    for line in script {
        command.args(["-ex", if line.starts_with("START") { start } else { line }]);
    }
    let outcome = run(
        {
            command.arg(program);
            command
        },
        b"",
        limit(host),
    )
    .map_err(|e| format!("{e:#}"))?;
    if outcome.status.is_none() {
        return Err(with_complaint(
            &outcome,
            &format!("gdb does not end:\n{}", String::from_utf8_lossy(&outcome.stdout)),
        ));
    }
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned() + &String::from_utf8_lossy(&outcome.stderr);
    Ok(text.lines().filter_map(plain).map(|line| line + "\n").collect())
}

/// A line of gdb's, or none, that is the same natively and under Demotic.
fn plain(line: &str) -> Option<String> {
    let dropped = [
        "Reading ",
        "warning: File transfers from remote",
        "[Thread debugging",
        "Using host libthread_db",
        "Program stopped.",
        "warning: Error disabling address space",
    ];
    if line.is_empty() || dropped.iter().any(|start| line.starts_with(start)) {
        return None;
    }
    if line.starts_with("[Switching to Thread") {
        return Some("[Switching to a thread]".to_owned());
    }
    // The kernel's page of the i386 system call is the C library's own instruction where there is none.
    if line.starts_with("0x") && (line.contains("__kernel_vsyscall") || line.contains("_dl_sysinfo_int80")) {
        return Some("in a system call".to_owned());
    }
    // A debugger at a distance does not hear of threads that come and go between two stops, nor of process numbers.
    if let Some(event) = line.strip_prefix("Thread 1 ").and_then(|rest| rest.split_once("\" ")) {
        return Some(match event.1.strip_prefix("hit ") {
            Some(breakpoint) => breakpoint.to_owned(),
            None => format!("Program {}", event.1),
        });
    }
    if let Some((_, what)) = line.split_once(" is executing new program") {
        return Some(format!("new program{what}"));
    }
    let line = line.replace("(Remote target)", "(process 1)");
    let line = line.split_once(" in section .text").map_or(line.as_str(), |(symbol, _)| symbol);
    // Stacks and process numbers.
    let mut words = Vec::new();
    let mut is_number = false;
    for word in line.split(' ') {
        let (name, _) = word.split_once("=0x").unwrap_or((word, ""));
        words.push(if name == "argv" {
            "argv"
        } else if is_number {
            "N)"
        } else {
            word
        });
        is_number = word.ends_with("(process");
    }
    Some(words.join(" "))
}

/// A debugger that speaks the protocol and nothing else.
struct Bare(UnixStream);

impl Bare {
    fn connect(waiting: &Waiting, host: Host) -> Result<Bare, String> {
        let stream = UnixStream::connect(&waiting.socket).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(limit(host))).map_err(|e| e.to_string())?;
        Ok(Bare(stream))
    }

    fn byte(&mut self) -> Result<u8, String> {
        let mut byte = [0];
        self.0.read_exact(&mut byte).map_err(|e| format!("the connection: {e}"))?;
        Ok(byte[0])
    }

    fn send(&mut self, packet: &str) -> Result<(), String> {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        self.0.write_all(format!("${packet}#{sum:02x}").as_bytes()).map_err(|e| e.to_string())?;
        match self.byte()? {
            b'+' => Ok(()),
            other => Err(format!("{packet} is answered by {other:#x}")),
        }
    }

    /// The next packet; its sum is checked.
    fn receive(&mut self) -> Result<String, String> {
        while self.byte()? != b'$' {}
        let mut packet = String::new();
        loop {
            match self.byte()? {
                b'#' => break,
                byte => packet.push(byte.into()),
            }
        }
        let sum = [self.byte()?, self.byte()?].map(char::from).iter().collect::<String>();
        same(&format!("{:02x}", packet.bytes().fold(0u8, u8::wrapping_add)), &sum)?;
        // Behind its last answer nobody waits for this any more.
        let _ = self.0.write_all(b"+");
        Ok(packet)
    }

    fn ask(&mut self, packet: &str) -> Result<String, String> {
        self.send(packet)?;
        self.receive()
    }
}

/// The program computes without a system call; Ctrl-C stops it, again and again; then it is killed.
fn interrupt(host: Host, abi: Abi) -> Result<(), String> {
    let waiting = Waiting::start(host, abi, "interrupt", &["spin"])?;
    let mut gdb = Bare::connect(&waiting, host)?;
    let first = gdb.ask("?")?;
    if !first.starts_with("T05") {
        return Err(format!("the first stop is {first}"));
    }
    for _ in 0..3 {
        gdb.send("vCont;c")?;
        std::thread::sleep(Duration::from_millis(200));
        gdb.0.write_all(&[3]).map_err(|e| e.to_string())?;
        let stop = gdb.receive()?;
        if !stop.starts_with("T02") {
            return Err(format!("Ctrl-C stops it by {stop}"));
        }
    }
    same("OK", &gdb.ask("vKill;1")?)?;
    same("[signal: 9 (SIGKILL)]\n", &waiting.end(limit(host))?)
}

/// What is asked wrongly is refused, and a program whose debugger leaves runs on.
fn detach(host: Host, abi: Abi) -> Result<(), String> {
    let waiting = Waiting::start(host, abi, "detach", &["exec"])?;
    let mut gdb = Bare::connect(&waiting, host)?;
    let refused = [
        "m0,10",
        "m",
        "Mzz",
        "p999",
        "G0",
        "Z0,0,1",
        "Z0",
        "vCont;",
        "qXfer:features:read:target.xml:zz,1",
        "Hgfffff",
        "T7fffffff",
    ];
    for packet in refused {
        let answer = gdb.ask(packet)?;
        if !answer.starts_with('E') && !answer.is_empty() {
            return Err(format!("{packet} is answered by {answer}"));
        }
    }
    same("OK", &gdb.ask("D")?)?;
    let text = waiting.end(limit(host))?;
    // Nobody mends its fault.
    let ending = text.lines().last().unwrap_or_default();
    if ending.starts_with("[signal: 11") { Ok(()) } else { Err(format!("it ends by {ending}")) }
}
