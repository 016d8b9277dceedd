//! Starting a program, feeding it, and taking everything it gives within a time limit.
//!
//! The program gets its own process group, which is killed as a whole when the time is up and after the program has ended:
//! a test leaves nothing running behind, and a forgotten grandchild cannot hold the pipes open.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

/// What a program gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended; `None` when the time was up.
    pub status: Option<ExitStatus>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// How long it took.
    pub time: Duration,
}

impl Outcome {
    /// How it ended, as one line: `exit 0`, `signal 11`, `timeout`.
    pub fn ending(&self) -> String {
        match self.status {
            None => "timeout".to_owned(),
            Some(s) => match (s.code(), s.signal()) {
                (Some(code), _) => format!("exit {code}"),
                (_, Some(signal)) => format!("signal {signal}"),
                _ => format!("{s}"),
            },
        }
    }

    /// Standard output with the ending as its last line: what expectations are compared with.
    pub fn transcript(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.stdout).into_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text + "[" + &self.ending() + "]\n"
    }

    /// The end of standard error, for failure messages.
    pub fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let tail: Vec<&str> = text.lines().rev().take(15).collect();
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Whether Demotic itself failed, as opposed to its guest: a Rust panic, or an allocator's or runtime's abort message.
    pub fn translator_failed(&self) -> bool {
        let text = String::from_utf8_lossy(&self.stderr);
        ["panicked at", "fatal runtime error", "memory allocation of", "stack overflow", "demotic: internal"]
            .iter()
            .any(|sign| text.contains(sign))
    }
}

/// Runs `command` with `stdin` as its input for at most `limit`.
///
/// # Errors
/// The program could not be started.
pub fn run(mut command: Command, stdin: &[u8], limit: Duration) -> Result<Outcome> {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let group = Pid::from_raw(child.id().cast_signed()).context("a process has an id")?;
    let mut input = child.stdin.take().context("stdin is a pipe")?;
    let (stdout, stderr) = (child.stdout.take().context("a pipe")?, child.stderr.take().context("a pipe")?);
    std::thread::scope(|scope| {
        // A program that does not read its input closes it early: not an error.
        scope.spawn(move || input.write_all(stdin).ok());
        let out = scope.spawn(move || slurp(stdout));
        let err = scope.spawn(move || slurp(stderr));
        let mut pause = Duration::from_micros(500);
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if start.elapsed() > limit {
                break None;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        };
        let time = start.elapsed();
        // Its children, or itself; nothing left to kill is fine.
        kill_process_group(group, Signal::KILL).ok();
        if status.is_none() {
            child.wait()?;
        }
        let take = |t: std::thread::ScopedJoinHandle<'_, Vec<u8>>| t.join().unwrap_or_default();
        Ok(Outcome { status, stdout: take(out), stderr: take(err), time })
    })
}

fn slurp(mut from: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    // What came before an error counts.
    from.read_to_end(&mut all).ok();
    all
}
