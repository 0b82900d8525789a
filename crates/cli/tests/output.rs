//! Where the output goes may fail: a pipe that nobody reads, a full disk. Every command then ends as
//! `out.rs` says, and none panics. A command that is new has to be added here.

mod common;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{PipeWriter, pipe};
use std::process::Stdio;

use common::{command, copy_model, finish, run, write_encoder};

/// The exit code where standard output is closed.
const CLOSED: i32 = 141;

const CASE: &str = "matmul/decode:dtype=f16,m=1,k=255,n=513,layout=nt,data=normal:seed=1";

const BENCH: [&str; 9] = ["bench", "--device", "cpu", "--case", CASE, "--samples", "3", "--time-limit", "0.05"];

/// The names of all commands, as `help` lists them: `bench diff` is one of them.
fn commands() -> BTreeSet<String> {
    fn below(name: &str, all: &mut BTreeSet<String>) {
        let words: Vec<&str> = name.split_whitespace().chain(["--help"]).collect();
        let (code, help, err) = run(&words);
        assert_eq!(code, 0, "{name}: {err}");
        let Some((_, list)) = help.split_once("\nCommands:\n") else { return };
        for line in list.lines().take_while(|line| !line.is_empty()) {
            // The name is indented by two; its description goes on further to the right.
            let Some(found) = line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) else { continue };
            let found = found.split_whitespace().next().unwrap();
            if found != "help" {
                let found = format!("{name} {found}").trim().to_owned();
                below(&found, all);
                all.insert(found);
            }
        }
    }
    let mut all = BTreeSet::new();
    below("", &mut all);
    all
}

/// What there is to run: each command in every form of its output, on little.
struct Uses {
    folder: tempfile::TempDir,
}

impl Uses {
    fn new() -> Uses {
        let uses = Uses { folder: tempfile::tempdir().unwrap() };
        for name in ["model", "encoder"] {
            std::fs::create_dir(uses.folder.path().join(name)).unwrap();
        }
        copy_model(&uses.folder.path().join("model"));
        write_encoder(&uses.folder.path().join("encoder"));
        let config = serde_json::json!({"chat_template": "{{ messages[-1].content }}"});
        uses.write("model/tokenizer_config.json", &config.to_string());
        uses.write("text", &"Once upon a time there was a little girl.\n".repeat(4));
        uses
    }

    /// The reports that some commands read.
    fn write_reports(&self) {
        let check = ["check", "--device", "cpu", "--case", CASE, "--report", &self.path("report")];
        assert_eq!(run(&check).0, 0);
        let (_, json, err) = run(&[&BENCH[..], &["--json"]].concat());
        assert!(json.starts_with('{'), "{err}");
        self.write("bench.json", &json);
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Command lines of the command of a name.
    fn of(&self, name: &str) -> Vec<Vec<String>> {
        let [report, bench, text, model, encoder] =
            ["report/report.json", "bench.json", "text", "model", "encoder"].map(|name| self.path(name));
        let uses: Vec<Vec<&str>> = match name {
            "devices" => both(&[]),
            "check" => vec![cpu(&["--case", CASE]), cpu(&["--case", CASE, "--quiet", "--no-isolation"])],
            "mutants" => vec![vec!["--list"], cpu(&["--fault", "cpu.prod.is-sum", "--quiet"])],
            "profiles" => vec![vec![], vec!["gpt2", "--ids", "--level", "quick"]],
            "ops" => vec![vec!["--from", &report], vec!["--from", &report, "--markdown"]],
            "fingerprint" => vec![cpu(&[]), cpu(&["--json"]), cpu(&["--details"])],
            "diff" => both(&[&report, &report]),
            "verify" => vec![vec![&report]],
            "replay" => vec![vec![&report], vec![&report, "--all"]],
            "soundness" => vec![vec!["--cases", "10"], vec!["--cases", "10", "--markdown"]],
            "generate" => both(&cpu(&["--prompt", "Once", "--max-tokens", "4"])),
            "embed" => both(&cpu(&["--model", &encoder, "--text", "once upon a time", "--text", "once"])),
            "logits" => both(&cpu(&["--tokens", "1,2"])),
            "chat" => both(&cpu(&["--model", &model, "--max-tokens", "4"])),
            "tokenize" => vec![vec!["--text", "Once"], vec!["--text", "Once", "--json"], vec!["--decode", "1,2"]],
            "perplexity" => both(&cpu(&[&text, "--window", "16"])),
            "bench" => vec![BENCH[1..].to_vec()],
            "bench ceilings" => vec![cpu(&["--short"])],
            "bench model" => both(&cpu(&["--model", &model, "--prompt", "2", "--decode", "2", "--runs", "1"])),
            "bench diff" => both(&[&bench, &bench]),
            other => panic!("`unisono {other}` is new: tell this test how to call it"),
        };
        let line = |rest: Vec<&str>| name.split_whitespace().chain(rest).map(str::to_owned).collect();
        uses.into_iter().map(line).collect()
    }

    /// Runs a command, which reads a text.
    fn run(&self, arguments: &[String], stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> (i32, String) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let text = File::open(self.path("text")).unwrap();
        let child = command(&arguments).stdin(text).stdout(stdout).stderr(stderr).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Holds a command to how it ends where nobody reads.
    fn check_closed(&self, arguments: &[String]) {
        let (code, err) = self.run(arguments, closed(), Stdio::piped());
        assert!(code == CLOSED && !err.contains("error") && !err.contains("panicked"), "{arguments:?}: {code}: {err}");
    }

    /// The same, and where the disk is full.
    fn check(&self, arguments: &[String]) {
        self.check_closed(arguments);
        let (code, _) = self.run(arguments, closed(), closed());
        assert_eq!(code, CLOSED, "{arguments:?}");
        if cfg!(target_os = "linux") {
            let full = File::options().write(true).open("/dev/full").unwrap();
            let (code, err) = self.run(arguments, full, Stdio::piped());
            let why = "error: cannot write to standard output: No space left on device";
            assert!(code == 1 && err.contains(why) && !err.contains("panicked"), "{arguments:?}: {code}: {err}");
        }
    }
}

fn cpu<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    [&["--device", "cpu"], rest].concat()
}

/// As a table and as JSON.
fn both<'a>(rest: &[&'a str]) -> Vec<Vec<&'a str>> {
    vec![rest.to_vec(), [rest, &["--json"]].concat()]
}

/// A pipe that nobody reads.
fn closed() -> PipeWriter {
    pipe().unwrap().1
}

#[test]
fn no_command_minds_who_reads() {
    let uses = Uses::new();
    uses.write_reports();
    for name in commands() {
        for arguments in uses.of(&name) {
            // Seconds to minutes each, so once.
            match name.as_str() {
                "bench" | "bench ceilings" => uses.check_closed(&arguments),
                _ => uses.check(&arguments),
            }
        }
    }
}

#[test]
fn help_and_version_do_not_mind_either() {
    let uses = Uses::new();
    uses.check(&["--version".to_owned()]);
    for name in commands().iter().map(String::as_str).chain([""]) {
        let words = name.split_whitespace().chain(["--help"]).map(str::to_owned);
        uses.check(&words.collect::<Vec<_>>());
    }
    // Nor do errors.
    for (arguments, code) in [(&["--no-such-option"][..], 2), (&["check", "--case", "no-such-case"], 2)] {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        assert_eq!(uses.run(&arguments, Stdio::null(), closed()).0, code);
        assert_eq!(uses.run(&arguments, closed(), closed()).0, code);
    }
}

#[test]
fn a_report_is_written_although_nobody_reads() {
    let uses = Uses::new();
    let lines: [(&[&str], &str); 3] = [
        (&["check", "--device", "cpu", "--case", CASE], "report.json"),
        (&["mutants", "--device", "cpu", "--fault", "cpu.prod.is-sum", "--quiet"], "mutants.json"),
        (&BENCH, "bench.json"),
    ];
    for (line, file) in lines {
        let place = uses.folder.path().join("written");
        let words = line.iter().copied().chain(["--report", place.to_str().unwrap()]);
        let (code, err) = uses.run(&words.map(str::to_owned).collect::<Vec<_>>(), closed(), Stdio::piped());
        assert_eq!(code, CLOSED, "{line:?}: {err}");
        let text = std::fs::read_to_string(place.join(file)).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{line:?}: {text}");
        std::fs::remove_dir_all(place).unwrap();
    }
}

/// A server, a container and an ssh session have no `XDG_RUNTIME_DIR`. Drivers complain of that if
/// they are made to look for a Wayland display; see `instance.rs` of unisono-wgpu.
#[test]
fn drivers_do_not_complain_where_there_is_no_session() {
    let uses = Uses::new();
    let devices = |session: Option<&str>| {
        let mut command = command(&["devices", "--json"]);
        command.env_remove("XDG_RUNTIME_DIR").env_remove("WAYLAND_DISPLAY").env_remove("WAYLAND_SOCKET");
        session.map(|folder| command.env("XDG_RUNTIME_DIR", folder));
        finish(&mut command, b"")
    };
    let (code, listed, err) = devices(None);
    assert_eq!((code, err.as_str()), (0, ""), "{listed}");
    assert_eq!(devices(Some("relative")), (0, listed.clone(), String::new()));
    // Elsewhere the drivers are asked as ever, and the same devices are there: GL among them.
    assert_eq!(devices(Some(&uses.path(""))), (0, listed, String::new()));
}
