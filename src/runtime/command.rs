//! Runs a command-line tool: a time limit, bounded output, cancellable, nothing left behind.
//!
//! A tool gets no terminal and no stdin unless bytes are given, a process group of its own (so that its helpers die
//! with it), and the host's environment plus what the caller adds. Arguments are visible to every local user, so a
//! secret goes into the environment or stdin, never into `args`. Every descriptor made here closes on exec.

use std::io::{self, PipeReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::call::Call;
use crate::error::{Code, Error, Result};

/// How long a wait lasts at most before the call is looked at again.
const SLICE: Duration = Duration::from_millis(25);

/// How long output is awaited after the tool itself has ended, if a helper of it still holds a pipe.
const GRACE: Duration = Duration::from_millis(100);

/// What a tool said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// The exit code; 128 + the signal's number where a signal ended it, as shells say it.
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether it exited with 0.
    pub fn is_success(&self) -> bool {
        self.status == 0
    }
}

/// Runs `program` (a path, or a name to look up on the PATH) to its end.
///
/// Ends with `RUNTIME_UNAVAILABLE` where there is no such program, `TIMEOUT` at `limit` or the call's own end,
/// `CANCELLED`, and `RUNTIME_FAILED` when it prints more than `output_cap` bytes to either stream; the tool and its
/// helpers are killed and reaped by then. Any exit code is an [`Output`]. No message repeats an argument.
pub(crate) fn run(
    call: &Call,
    program: impl AsRef<Path>,
    args: &[&str],
    environment: &[(String, String)],
    stdin: Option<&[u8]>,
    limit: Duration,
    output_cap: usize,
) -> Result<Output> {
    let call = call.within(limit);
    call.check()?;
    let mut tool = Tool::start(program.as_ref(), args, environment, stdin, output_cap)?;
    let mut pause = Duration::from_millis(1);
    loop {
        call.check()?;
        let slice = call.remaining().map_or(SLICE, |left| left.min(SLICE));
        if let Some(output) = tool.step(slice)? {
            return Ok(output);
        }
        if tool.is_silent() {
            // Nothing left to read, so only the exit is awaited.
            call.sleep(pause)?;
            pause = (pause * 2).min(SLICE);
        }
    }
}

/// A tool that runs; dropping it kills and reaps it with its helpers.
#[derive(Debug)]
pub(crate) struct Tool {
    name: String,
    pipes: [Pipe; 2],
    running: Running,
    ended: Option<(ExitStatus, Instant)>,
    output_cap: usize,
}

impl Tool {
    /// Starts it, as [`run`] does.
    pub fn start(
        program: &Path,
        args: &[&str],
        environment: &[(String, String)],
        stdin: Option<&[u8]>,
        output_cap: usize,
    ) -> Result<Tool> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let shortage = |error| shortage(&name, error);
        let (stdout, child_stdout) = io::pipe().map_err(shortage)?;
        let (stderr, child_stderr) = io::pipe().map_err(shortage)?;
        let input = match stdin {
            None => Stdio::null(),
            Some(bytes) => Stdio::from(filled(bytes).map_err(shortage)?),
        };
        let mut command = Command::new(program);
        command
            .args(args)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(input)
            .stdout(child_stdout)
            .stderr(child_stderr)
            .process_group(0);
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                Error::new(Code::RuntimeUnavailable, format!("the program {name} cannot be run: {error}"))
                    .with_hint(format!("install {name}, or put its folder on the PATH"))
            }
            _ => shortage(error),
        })?;
        // The command holds our copies of the child's pipe ends; with them the end of output is never seen.
        drop(command);
        let pipes = [Pipe::new(stdout), Pipe::new(stderr)];
        Ok(Tool { name, pipes, running: Running { child, reaped: false }, ended: None, output_cap })
    }

    /// What it said, once it has ended; waits for at most `slice`, and not at all when that is zero.
    pub fn step(&mut self, slice: Duration) -> Result<Option<Output>> {
        if self.ended.is_none() {
            self.ended = self.running.ended(&self.name)?.map(|status| (status, Instant::now()));
        }
        if !self.is_silent() {
            let ready = wait_readable(&self.pipes, slice).map_err(|error| shortage(&self.name, error))?;
            for (pipe, _) in self.pipes.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
                if !pipe.fill(self.output_cap).map_err(|error| shortage(&self.name, error))? {
                    let message = format!("{} printed more than {} bytes", self.name, self.output_cap);
                    return Err(Error::new(Code::RuntimeFailed, message)
                        .with_hint("look at what the tool prints when it is run by hand"));
                }
            }
        }
        let Some((status, since)) = self.ended else { return Ok(None) };
        if !self.is_silent() && since.elapsed() < GRACE {
            return Ok(None);
        }
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        let [stdout, stderr] = self.pipes.each_mut().map(|pipe| std::mem::take(&mut pipe.bytes));
        Ok(Some(Output { status, stdout, stderr }))
    }

    /// Whether both of its streams have ended.
    fn is_silent(&self) -> bool {
        self.pipes.iter().all(|pipe| pipe.reader.is_none())
    }
}

fn shortage(name: &str, error: io::Error) -> Error {
    Error::new(Code::Internal, format!("cannot run {name}: {error}"))
        .with_hint("raise the limits on descriptors and processes, or run fewer calls at once")
        .retryable()
}

/// A stdin that holds these bytes and then ends. They are written while both ends are ours, so that a tool that does
/// not read them cannot raise SIGPIPE in the host; what does not fit into the socket's buffer is an error.
fn filled(bytes: &[u8]) -> io::Result<OwnedFd> {
    let (mut ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    ours.write_all(bytes)?;
    ours.shutdown(Shutdown::Write)?;
    Ok(theirs.into())
}

/// One stream of the tool; `reader` is gone once it has ended.
#[derive(Debug)]
struct Pipe {
    reader: Option<PipeReader>,
    bytes: Vec<u8>,
}

impl Pipe {
    fn new(reader: PipeReader) -> Self {
        Pipe { reader: Some(reader), bytes: Vec::new() }
    }

    /// Takes what is there; only called when something is, so it never blocks. False when it is more than `cap`.
    fn fill(&mut self, cap: usize) -> io::Result<bool> {
        let Some(reader) = &mut self.reader else { return Ok(true) };
        let mut chunk = [0; 16 * 1024];
        match reader.read(&mut chunk) {
            Ok(0) => self.reader = None,
            Ok(count) => self.bytes.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(self.bytes.len() <= cap)
    }
}

/// Which of the pipes have something to read (or have ended), after at most `limit`.
fn wait_readable(pipes: &[Pipe; 2], limit: Duration) -> io::Result<[bool; 2]> {
    let mut asked = [0, 1].map(|at| libc::pollfd {
        // poll(2) passes over negative descriptors.
        fd: pipes[at].reader.as_ref().map_or(-1, AsRawFd::as_raw_fd),
        events: libc::POLLIN,
        revents: 0,
    });
    let limit = i32::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
    // SAFETY: the array lives across the call and its length is given.
    #[allow(unsafe_code)]
    let count = unsafe { libc::poll(asked.as_mut_ptr(), asked.len() as libc::nfds_t, limit) };
    if count < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok([false; 2]) } else { Err(error) };
    }
    Ok(asked.map(|one| one.revents != 0))
}

/// Its process; dropping it before its end kills its whole group and reaps it.
#[derive(Debug)]
struct Running {
    child: Child,
    reaped: bool,
}

impl Running {
    fn ended(&mut self, name: &str) -> Result<Option<ExitStatus>> {
        match self.child.try_wait() {
            Ok(status) => {
                self.reaped = status.is_some();
                Ok(status)
            }
            Err(error) => {
                self.reaped = error.raw_os_error() == Some(libc::ECHILD);
                Err(Error::new(Code::Internal, format!("the exit code of {name} is lost: {error}"))
                    .with_hint(
                        "the host program must not ignore SIGCHLD or wait for children that are not its own",
                    ))
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        if let Ok(group) = libc::pid_t::try_from(self.child.id()) {
            // SAFETY: a plain system call. The leader is not reaped, so the number still is its group's.
            #[allow(unsafe_code)]
            unsafe {
                libc::kill(-group, libc::SIGKILL);
            }
        }
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn sh(call: &Call, script: &str, limit: Duration) -> Result<Output> {
        run(call, "/bin/sh", &["-c", script], &[], None, limit, 1 << 20)
    }

    /// Whether no process of the group that the script wrote down lives any more; zombies of init's do not count.
    fn wait_until_gone(pid: &str) {
        let stat = format!("/proc/{}/stat", pid.trim());
        let end = Instant::now() + Duration::from_secs(5);
        while let Ok(text) = std::fs::read_to_string(&stat) {
            if text.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')) {
                return;
            }
            assert!(Instant::now() < end, "the helper still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn both_streams_and_the_exit_code_come_back() {
        let output = sh(&Call::new(), "echo out; echo err >&2; exit 7", MINUTE).unwrap();
        assert_eq!(output, Output { status: 7, stdout: b"out\n".to_vec(), stderr: b"err\n".to_vec() });
        assert!(!output.is_success());
    }

    #[test]
    fn a_signal_is_told_as_shells_tell_it() {
        assert_eq!(sh(&Call::new(), "kill -9 $$", MINUTE).unwrap().status, 137);
    }

    #[test]
    fn stdin_is_empty_unless_bytes_are_given() {
        assert_eq!(sh(&Call::new(), "cat", MINUTE).unwrap().stdout, b"");
        let output = run(&Call::new(), "cat", &[], &[], Some(b"hello"), MINUTE, 100).unwrap();
        assert_eq!(output.stdout, b"hello");
    }

    #[test]
    fn a_tool_that_never_reads_its_stdin_does_no_harm() {
        let output = run(&Call::new(), "true", &[], &[], Some(&[b'x'; 4096]), MINUTE, 100).unwrap();
        assert!(output.is_success());
    }

    #[test]
    fn the_environment_is_added_to_the_hosts() {
        let added = [("SANDPORT_TEST_VALUE".to_owned(), "it's $here".to_owned())];
        let script = "printf %s \"$SANDPORT_TEST_VALUE\"; test -n \"$PATH\"";
        let output = run(&Call::new(), "/bin/sh", &["-c", script], &added, None, MINUTE, 100).unwrap();
        assert_eq!((output.status, output.stdout), (0, b"it's $here".to_vec()));
    }

    #[test]
    fn a_missing_program_is_a_runtime_that_is_not_there() {
        let error = run(&Call::new(), "no-such-tool-here", &["secret"], &[], None, MINUTE, 100).unwrap_err();
        assert_eq!(error.code(), Code::RuntimeUnavailable);
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn the_time_limit_kills_the_tool_and_its_helpers() {
        let file = std::env::temp_dir().join(format!("sandport-command-{}", std::process::id()));
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let began = Instant::now();
        let error = sh(&Call::new(), &script, Duration::from_millis(500)).unwrap_err();
        assert_eq!(error.code(), Code::Timeout);
        assert!(began.elapsed() < Duration::from_secs(5));
        wait_until_gone(&std::fs::read_to_string(&file).unwrap());
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn cancelling_ends_it_at_once() {
        let call = Call::new();
        let other = call.clone();
        let (told, began) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            told.send(()).unwrap();
            let error = sh(&other, "exec >&- 2>&-; sleep 600", MINUTE).unwrap_err();
            (error.code(), Instant::now())
        });
        began.recv().unwrap();
        let cancelled = Instant::now();
        call.cancel();
        let (code, ended) = thread.join().unwrap();
        assert_eq!(code, Code::Cancelled);
        assert!(ended - cancelled < Duration::from_secs(1));
    }

    #[test]
    fn endless_output_is_cut_off() {
        let error = run(&Call::new(), "yes", &[], &[], None, MINUTE, 100_000).unwrap_err();
        assert_eq!(error.code(), Code::RuntimeFailed);
    }

    #[test]
    fn a_helper_that_keeps_the_pipe_open_does_not_hold_up_the_answer() {
        let began = Instant::now();
        let output = sh(&Call::new(), "echo $$; sleep 3 & exit 0", MINUTE).unwrap();
        assert!(output.is_success() && !output.stdout.is_empty());
        assert!(began.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn megabytes_on_both_streams_do_not_block() {
        let script = "head -c 900000 /dev/zero; head -c 900000 /dev/zero >&2";
        let output = sh(&Call::new(), script, MINUTE).unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (900_000, 900_000));
    }

    #[test]
    fn no_descriptor_of_the_library_reaches_the_tool() {
        // What the host itself leaves open is its own affair; it is counted first.
        let count = |held: &str| {
            let output = sh(&Call::new(), "ls -l /proc/$$/fd", MINUTE).unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(!text.contains(held), "{text}");
            text.lines().count()
        };
        let path = std::env::temp_dir().join(format!("sandport-held-{}", std::process::id()));
        let held = std::fs::File::create(&path).unwrap();
        assert!(count(&path.to_string_lossy()) >= 4);
        drop(held);
        std::fs::remove_file(path).unwrap();
    }
}
