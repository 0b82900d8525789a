//! Reports on disk as people handle them: written in every form, verified, compared and replayed.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs the command, holds it to its exit code and returns all it printed.
#[track_caller]
fn run(code: i32, arguments: &[&str]) -> String {
    let (actual, out, err) = common::run(arguments);
    assert_eq!(actual, code, "{arguments:?}: {out}{err}");
    assert!(!err.contains("panicked"), "{err}");
    out + &err
}

fn path(directory: &tempfile::TempDir, name: &str) -> String {
    directory.path().join(name).to_str().unwrap().to_owned()
}

/// A directory with the report of a few cases.
fn checked() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().to_str().unwrap();
    run(0, &["check", "--device", "cpu", "--case", "argmax/", "--case", "add/", "--quiet", "--report", to]);
    directory
}

fn edit(from: &str, to: &str, change: impl FnOnce(&mut Value)) {
    let mut document: Value = serde_json::from_str(&std::fs::read_to_string(from).unwrap()).unwrap();
    change(&mut document);
    std::fs::write(to, document.to_string()).unwrap();
}

#[test]
fn a_report_is_written_in_every_form_and_verifies() {
    let directory = checked();
    for name in ["report.json", "report.html", "report.junit.xml", "report.csv", "report.md", "badge.json"] {
        assert!(Path::new(&path(&directory, name)).metadata().unwrap().len() > 50, "{name}");
    }
    let report = path(&directory, "report.json");
    assert!(run(0, &["verify", &report]).contains("consistent"));
    assert!(run(0, &["verify", "--deep", &report]).contains("0 problems"));
    let edited = path(&directory, "edited.json");
    edit(&report, &edited, |d| d["devices"][0]["results"][3]["status"] = "fail".into());
    let text = run(1, &["verify", &edited]);
    assert!(
        text.contains("digest: ") && text.contains("devices[0].results[3].detail: fail without a reason"),
        "{text}"
    );
}

#[test]
fn files_that_are_no_reports_are_named() {
    let directory = checked();
    let (report, other) = (path(&directory, "report.json"), path(&directory, "other.json"));
    for (text, words) in
        [("no JSON", "expected"), ("{\"schema_version\": 99}", "schema version 99"), ("{}", "schema_version")]
    {
        std::fs::write(&other, text).unwrap();
        for arguments in [vec!["verify", &other], vec!["diff", &report, &other], vec!["replay", &other]] {
            let text = run(2, &arguments);
            assert!(text.contains(words) && text.contains("other.json"), "{text}");
        }
    }
    let nowhere = path(&directory, "nowhere.json");
    for arguments in [vec!["verify", &nowhere], vec!["diff", &nowhere, &report], vec!["replay", &nowhere]] {
        assert!(run(2, &arguments).contains("cannot read"));
    }
    assert!(run(2, &["diff", &report, &report, "--device", "cpu"]).contains("two ids"));
    assert!(run(2, &["diff", &report, &report, "--device", "cpu=gpu"]).contains("no device 'gpu'"));
    assert!(run(2, &["replay", &report, "--case", "no/such"]).contains("no/such"));
    assert!(run(2, &["replay", &report, "--all", "--from", "gpu"]).contains("no device 'gpu'"));
}

#[test]
fn reports_are_compared() {
    let directory = checked();
    let (report, other) = (path(&directory, "report.json"), path(&directory, "other.json"));
    assert!(run(0, &["diff", &report, &report]).contains("0 regressions"));
    edit(&report, &other, |d| d["devices"][0]["results"][0]["status"] = "error".into());
    assert!(run(1, &["diff", &report, &other]).contains("new failure"));
    assert!(run(0, &["diff", &other, &report]).contains("fixed"));
    let json: Value = serde_json::from_str(&run(1, &["diff", "--json", &report, &other])).unwrap();
    assert_eq!((&json["regressions"], &json["devices"][0]["changes"][0]["kind"]), (&1.into(), &"new_failure".into()));
}

#[test]
fn results_are_replayed_by_their_commands() {
    let directory = checked();
    let (report, other) = (path(&directory, "report.json"), path(&directory, "other.json"));
    assert!(run(0, &["replay", &report]).contains("no failure"));
    let text = run(0, &["replay", &report, "--case", "argmax/axis:dtype=f32*"]);
    assert!(text.contains("identical pass") && text.contains("the same again"), "{text}");
    // A result that came out another way than the report says.
    edit(&report, &other, |d| {
        let result = &mut d["devices"][0]["results"][0];
        (result["status"], result["output_hash"]) = ("fail".into(), "0123456789abcdef".into());
    });
    let text = run(1, &["replay", &other]);
    assert!(text.contains("status fail is now pass") && text.contains("output hash 0123456789abcdef is now"), "{text}");
    // What the report has and this program has not, a kernel or a case, is named.
    edit(&report, &other, |d| {
        let results = d["devices"][0]["results"].as_array_mut().unwrap();
        let (kernel, case) = (results[0]["kernel"].clone(), results[1]["id"].clone());
        let rename = |result: &mut Value, field: &str, from: String, new: &str| {
            let command = result["reproduce"].as_str().unwrap();
            assert!(command.contains(&from), "{command}");
            (result[field], result["reproduce"]) = (new.into(), command.replace(&from, new).into());
        };
        let kernel = format!("--kernel {}", kernel.as_str().unwrap());
        rename(&mut results[0], "kernel", kernel, "--kernel faster");
        results[0]["kernel"] = "faster".into();
        rename(&mut results[1], "id", case.as_str().unwrap().to_owned(), "add/none:seed=1");
        results.truncate(3);
    });
    let text = run(1, &["replay", &other, "--all"]);
    assert!(text.contains("the device has no kernel 'faster' for it"), "{text}");
    assert!(text.contains("this program has no such case") && text.contains("1 of 3 results"), "{text}");
    edit(&report, &other, |d| d["devices"][0]["results"][0]["reproduce"] = "rm -r x".into());
    assert!(run(2, &["replay", &other, "--all"]).contains("is no command of this program"));
}

/// A printed line, in a shell, with nothing changed but where the program is found.
#[cfg(unix)]
fn shell(command: &str) -> Output {
    let folder = Path::new(env!("CARGO_BIN_EXE_unisono")).parent().unwrap();
    let search = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    Command::new("sh").args(["-c", command]).env("PATH", search).output().unwrap()
}

#[test]
#[cfg(unix)]
fn the_printed_command_is_a_command() {
    let directory = checked();
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(path(&directory, "report.json")).unwrap()).unwrap();
    let first = &report["devices"][0]["results"][0];
    let command = first["reproduce"].as_str().unwrap();
    let output = shell(command);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains(first["id"].as_str().unwrap()), "{command}: {text}");
    assert!(text.contains("1 pass"), "one kernel ran: {text}");
}

/// What a tester does with a device that is wrong: the report fails, verifies, and each failure comes
/// again, by `replay` and by the printed command alone.
#[test]
#[cfg(unix)]
fn a_planted_fault_fails_verifies_and_is_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let (to, fault) = (directory.path().to_str().unwrap(), "cpu.matmul.drops-last-k");
    let few = "matmul/plain:dtype=f32,m=1,k=1,n=1,*";
    run(1, &["check", "--device", "cpu", "--plant", fault, "--case", few, "--quiet", "--report", to]);
    let report = path(&directory, "report.json");
    assert!(run(0, &["verify", "--deep", &report]).contains("consistent: the run failed"));
    let document: Value = serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap();
    let results = document["devices"][0]["results"].as_array().unwrap();
    let failures: Vec<&Value> = results.iter().filter(|r| r["status"] == "fail").collect();
    assert!(!failures.is_empty());
    let text = run(0, &["replay", &report, "--failures"]);
    assert!(text.contains(&format!("{0} of {0} results are the same again", failures.len())), "{text}");

    let page = std::fs::read_to_string(path(&directory, "report.html")).unwrap();
    for failure in failures {
        let (command, id) = (failure["reproduce"].as_str().unwrap(), failure["id"].as_str().unwrap());
        assert!(page.contains(&format!("<code>{id}</code> on <b>{}</b>", failure["kernel"].as_str().unwrap())));
        let output = shell(command);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{command}: {text}");
        assert!(text.contains(id) && text.contains("1 fail"), "{command}: {text}");
    }

    // Without the fault the same cases pass, and a report that hides it contradicts itself.
    let (edited, name) = (path(&directory, "edited.json"), "planted-fault");
    edit(&report, &edited, |d| {
        d["devices"][0]["device"]["properties"].as_object_mut().unwrap().remove(name);
    });
    assert!(run(1, &["verify", &edited]).contains(".reproduce: the command says"));
    run(0, &["check", "--device", "cpu", "--case", few, "--quiet"]);
}
