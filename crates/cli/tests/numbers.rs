//! Numbers as options: negative ones after a space are values, and what does not fit is refused with
//! the option's name and range.

mod common;

use common::{fails, run};

/// Names of values that are numbers, as the help gives them.
const NUMBERS: [&str; 7] = ["<N>", "<TOKENS>", "<SECONDS>", "<T>", "<P>", "<X>", "<PERCENT>"];

const COMMANDS: [&[&str]; 10] = [
    &["check"],
    &["fingerprint"],
    &["soundness"],
    &["generate"],
    &["chat"],
    &["logits"],
    &["perplexity"],
    &["bench"],
    &["bench", "model"],
    &["bench", "diff"],
];

/// The options of a command with values of these names.
fn options(command: &[&str]) -> Vec<String> {
    let (code, help, _) = run(&[command, &["--help"]].concat());
    assert_eq!(code, 0);
    let lines = help.lines().filter_map(|line| {
        let (name, value) = line.trim_start().strip_prefix("--")?.split_once(' ')?;
        let value = value.split_whitespace().next()?;
        (NUMBERS.contains(&value) || value.starts_with("<N,N")).then(|| format!("--{name}"))
    });
    lines.collect()
}

#[test]
fn negative_numbers_are_values() {
    let mut seen = 0;
    for command in COMMANDS {
        for option in options(command) {
            let (code, out, err) = run(&[command, &[&option, "-1"]].concat());
            let taken = !err.contains("unexpected argument") && !err.contains("a value is required");
            assert!(code == 2 && taken, "{command:?} {option}: {code}: {out}{err}");
            seen += 1;
        }
    }
    assert!(seen >= 35, "{seen}");
}

#[test]
fn the_range_is_named() {
    let most = u64::MAX.to_string();
    let generate = ["generate", "--prompt", "x", "--device", "cpu"];
    for option in ["--seed", "--top-k", "--repetition-window"] {
        fails(&[&generate[..], &[option, "-1"]].concat(), 2, &[option, "'-1'", "from 0 to", &most]);
    }
    for (option, value) in [("--max-tokens", "0"), ("--max-tokens", "-3"), ("--context", "0"), ("--context", "1.5")] {
        fails(&[&generate[..], &[option, value]].concat(), 2, &[option, value, "from 1 to"]);
    }
    for (option, value, range) in [
        ("--temperature", "-1", "0 or a positive number"),
        ("--temperature", "-0.5", "0 or a positive number"),
        ("--top-p", "-1", "above 0 and up to 1"),
        ("--min-p", "-0.001", "0 to 1"),
        ("--repetition-penalty", "-1", "a positive number"),
    ] {
        fails(&[&generate[..], &[option, value]].concat(), 2, &[option, range]);
    }
    fails(&["logits", "--device", "cpu", "--tokens", "-1"], 2, &["--tokens", "'-1'", "from 0 to 4294967295"]);
    fails(&["logits", "--device", "cpu", "--tokens", "1,-1"], 2, &["--tokens", "'-1'", "from 0 to 4294967295"]);
    fails(&["tokenize", "--decode", "-1"], 2, &["--decode", "\"-1\""]);
    fails(&["tokenize", "--decode", "-1,2"], 2, &["--decode", "\"-1\""]);
    fails(&["check", "--device", "cpu", "--workers", "-1"], 2, &["--workers", "from 1 to 64"]);
    fails(&["check", "--device", "cpu", "--workers", "65"], 2, &["--workers", "from 1 to 64"]);
    fails(&["check", "--device", "cpu", "--group-timeout", "-1"], 2, &["--group-timeout", "from 1 to"]);
    fails(&["fingerprint", "--runs", "-1"], 2, &["--runs", "from 1 to 4294967295"]);
    fails(&["soundness", "--cases", "-1"], 2, &["--cases", "from 1 to 100000000"]);
    fails(&["bench", "--device", "cpu", "--time-limit", "-1"], 2, &["--time-limit -1", "from 0 up"]);
    fails(&["bench", "diff", "a", "b", "--threshold", "-1"], 2, &["--threshold -1", "from 0 up"]);
    fails(&["generate", "--seed", "99999999999999999999"], 2, &["--seed", "99999999999999999999", &most]);
    // Options are still options.
    fails(&["generate", "--seed", "--json"], 2, &["--seed", "a value is required"]);
}
