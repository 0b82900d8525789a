//! One worker process: started, listened to, and ended without fail.
//!
//! Threads read the pipes, because a driver may write to standard error without end or hold a pipe
//! open after the process has gone; the supervisor itself only waits for messages, with a limit.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::chatter::is_chatter;
use super::protocol::Message;
use super::pulse::Pulse;

/// How often a worker is looked at that says nothing.
const TICK: Duration = Duration::from_millis(50);
/// How long the pipes of a process that has ended are read.
const DRAIN: Duration = Duration::from_secs(2);
/// How long a killed process may take to go; one that the kernel holds is left behind.
const REAP: Duration = Duration::from_secs(10);
/// Bytes of output that are kept.
const TAIL: usize = 4096;
/// A longer line is no message.
const LONGEST_LINE: u64 = 64 << 20;

/// When a worker has had its time.
pub(super) struct Limits {
    /// By the clock on the wall, where somebody asked for that.
    pub(super) deadline: Option<Instant>,
    /// Time of its own without progress, as [`Pulse`] counts it.
    pub(super) stall: Duration,
    /// Time without any message.
    pub(super) silence: Duration,
}

/// How a worker ended.
pub(super) struct Ended {
    pub(super) how: How,
    /// The last of what it wrote besides messages.
    pub(super) output: String,
}

pub(super) enum How {
    NotSpawned(io::Error),
    Exited(ExitStatus),
    /// Killed: it made no progress, with what it did instead.
    Stalled(String),
    /// Killed: it said nothing for too long.
    Silent,
    /// Killed at the deadline.
    Late,
    /// Killed because the listener wanted no more of it.
    Dismissed,
}

/// Runs `command` with `job` on its standard input and passes on what it says, until it has ended.
pub(super) fn watch(
    mut command: Command,
    job: Vec<u8>,
    limits: &Limits,
    listen: &mut dyn FnMut(Message) -> ControlFlow<()>,
) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return Ended { how: How::NotSpawned(e), output: String::new() },
    };
    let tail = Arc::new(Mutex::new(Tail::default()));
    let (messages, closed) = read_pipes(&mut child, &tail);
    // The job is written by a thread: a worker that does not read must not hold up its supervisor.
    // Standard input stays open until this function returns.
    let (_keep, kept) = mpsc::channel::<()>();
    if let Some(mut stdin) = child.stdin.take() {
        thread::spawn(move || {
            let _ = stdin.write_all(&job).and_then(|()| stdin.flush());
            let _ = kept.recv();
        });
    }
    let how = listen_until_end(&mut child, &messages, limits, listen);
    if !matches!(how, How::Exited(_)) {
        end(&mut child);
    }
    // What was said before the end still counts.
    let drained = Instant::now() + DRAIN;
    while let Ok(message) = messages.recv_timeout(drained.saturating_duration_since(Instant::now())) {
        if listen(message).is_break() {
            break;
        }
    }
    let _ = closed.recv_timeout(drained.saturating_duration_since(Instant::now()));
    let output = tail.lock().unwrap_or_else(PoisonError::into_inner).text();
    Ended { how, output }
}

fn listen_until_end(
    child: &mut Child,
    messages: &Receiver<Message>,
    limits: &Limits,
    listen: &mut dyn FnMut(Message) -> ControlFlow<()>,
) -> How {
    let (mut pulse, mut silent) = (Pulse::default(), Duration::ZERO);
    let (mut open, mut looked) = (true, Instant::now());
    loop {
        let tick = if open {
            messages.recv_timeout(TICK)
        } else {
            thread::sleep(TICK);
            Err(RecvTimeoutError::Timeout)
        };
        match tick {
            Ok(message) => {
                silent = Duration::ZERO;
                match &message {
                    Message::Alive(alive) => pulse.beat(alive),
                    _ => pulse.progress(),
                }
                if listen(message).is_break() {
                    return How::Dismissed;
                }
            }
            Err(RecvTimeoutError::Disconnected) => open = false,
            Err(RecvTimeoutError::Timeout) => {
                if let Ok(Some(status)) = child.try_wait() {
                    return How::Exited(status);
                }
            }
        }
        if limits.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return How::Late;
        }
        if pulse.stalled() >= limits.stall {
            return How::Stalled(pulse.evidence());
        }
        // While the supervisor itself was stopped, the worker may have been as well.
        silent += looked.elapsed().min(4 * TICK);
        looked = Instant::now();
        if silent >= limits.silence {
            return How::Silent;
        }
    }
}

/// Threads that read standard output and standard error. The second receiver is closed when
/// standard error is.
fn read_pipes(child: &mut Child, tail: &Arc<Mutex<Tail>>) -> (Receiver<Message>, Receiver<()>) {
    let (say, messages) = mpsc::channel();
    let (open, closed) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        let tail = tail.clone();
        thread::spawn(move || read_messages(stdout, &say, &tail));
    }
    if let Some(mut stderr) = child.stderr.take() {
        let tail = tail.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut bytes) {
                tail.lock().unwrap_or_else(PoisonError::into_inner).add(&bytes[..n]);
            }
            drop(open);
        });
    }
    (messages, closed)
}

fn read_messages(stdout: impl Read, say: &Sender<Message>, tail: &Mutex<Tail>) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    while let Ok(1..) = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
        if line != b"\n" {
            match serde_json::from_slice(&line) {
                Ok(message) => {
                    if say.send(message).is_err() {
                        return;
                    }
                }
                Err(_) => tail.lock().unwrap_or_else(PoisonError::into_inner).add(&line),
            }
        }
        line.clear();
    }
}

/// Kills the process and waits until it is gone.
fn end(child: &mut Child) {
    // An error means that it has ended already.
    let _ = child.kill();
    let patience = Instant::now() + REAP;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < patience {
        thread::sleep(TICK);
    }
}

/// The last bytes of a stream.
#[derive(Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    fn add(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL)..];
        self.0.drain(..(self.0.len() + bytes.len()).saturating_sub(TAIL));
        self.0.extend(bytes);
    }

    /// Without control characters, without the first line where its start is lost, and without what
    /// drivers always print.
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let text = match text.split_once('\n') {
            Some((_, rest)) if bytes.len() == TAIL && !rest.is_empty() => rest,
            _ => &text,
        };
        let clean: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
        let lines: Vec<&str> = clean.lines().filter(|line| !is_chatter(line)).collect();
        lines.join("\n").trim().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_the_end_of_what_it_is_given() {
        let mut tail = Tail::default();
        tail.add(b"short\x1b[1m\n");
        assert_eq!(tail.text(), "short[1m");
        tail.add(b"error: XDG_RUNTIME_DIR is invalid or not set in the environment.\nabort\n");
        assert_eq!(tail.text(), "short[1m\nabort");
        tail.add(&[b'x'; 3 * TAIL]);
        tail.add(b"\nlast\n");
        assert_eq!(tail.text(), "last");
        tail.add(&[b'y'; 3 * TAIL]);
        tail.add(b"\n");
        assert_eq!(tail.text(), "y".repeat(TAIL - 1));
        assert_eq!(tail.0.len(), TAIL);
    }
}
