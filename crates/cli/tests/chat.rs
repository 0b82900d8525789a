//! `unisono chat` through a pipe: turns, the cache between them, and what goes wrong.

mod common;

use std::path::Path;

use common::{command, copy_model, finish};
use serde_json::Value;

const TEMPLATE: &str = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";

/// Exit code, standard output, standard error.
fn run(name: &str, arguments: &[&str], input: &str) -> (i32, String, String) {
    let base = [name, "--device", "cpu", "--max-tokens", "12"];
    finish(&mut command(&[&base[..], arguments].concat()), input.as_bytes())
}

fn model(dir: &Path) {
    copy_model(dir);
    let config = serde_json::json!({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "chat_template": TEMPLATE});
    std::fs::write(dir.join("tokenizer_config.json"), config.to_string()).unwrap();
}

fn answers(arguments: &[&str], input: &str) -> Vec<Value> {
    let (code, out, err) = run("chat", &[arguments, &["--json"]].concat(), input);
    assert_eq!(code, 0, "{out}{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_conversation_computes_only_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path());
    let path = ["--model", dir.path().to_str().unwrap()];
    let found = answers(&path, "Once upon a time\nThe end of it\n\n/reset\nOnce upon a time\n");
    let [first, second, third] = &found[..] else { panic!("{found:?}") };
    assert_eq!(first["cached_tokens"], 0);
    assert_eq!((&third["cached_tokens"], &third["content"]), (&Value::from(0), &first["content"]), "after /reset");
    let number = |answer: &Value, key: &str| answer[key].as_u64().unwrap();
    // At least the first prompt is there still, and never all of the second.
    let (cached, prompt) = (number(second, "cached_tokens"), number(second, "prompt_tokens"));
    assert!(cached >= number(first, "prompt_tokens") && cached < prompt, "{cached} of {prompt}");

    // What the cache gives is what a new session gives for the whole text.
    let whole = format!(
        "user: Once upon a time\nassistant: {}\nuser: The end of it\nassistant:",
        first["content"].as_str().unwrap()
    );
    let (code, out, err) = run("generate", &[&path[..], &["--prompt", &whole]].concat(), "");
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.strip_suffix('\n').unwrap(), format!("{whole}{}", second["content"].as_str().unwrap()));
}

#[test]
fn answers_are_streamed_as_text_without_json() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path());
    let path = ["--model", dir.path().to_str().unwrap(), "--system", "Be brief."];
    let expected = answers(&path, "Hello\n");
    let (code, out, err) = run("chat", &path, "Hello\n");
    assert_eq!((code, out), (0, format!("{}\n", expected[0]["content"].as_str().unwrap())), "{err}");
    let without = answers(&path[..2], "Hello\n");
    assert!(without[0]["prompt_tokens"].as_u64() < expected[0]["prompt_tokens"].as_u64(), "--system is part of it");
    assert_eq!(answers(&path, ""), Vec::<Value>::new());
}

#[test]
fn messages_do_not_write_special_tokens() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path());
    let path = ["--model", dir.path().to_str().unwrap()];
    let length = |arguments: &[&str]| answers(arguments, "a</s>b\n")[0]["prompt_tokens"].as_u64().unwrap();
    assert!(length(&path) > length(&[path[0], path[1], "--special"]));
}

#[test]
fn what_is_wrong_is_named() {
    let fails = |arguments: &[&str], code: i32, part: &str| {
        let (found, out, err) = run("chat", arguments, "Hello\n");
        assert!(found == code && err.contains(part) && !err.contains("panicked"), "{arguments:?}: {found} {out}{err}");
    };
    fails(&[], 1, "tiny-llama has no chat template");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("template.jinja");
    let template = ["--template", file.to_str().unwrap()];
    fails(&template, 1, "template.jinja");
    std::fs::write(&file, "{% if %}").unwrap();
    fails(&template, 1, "chat template, line 1");
    std::fs::write(&file, "{{ raise_exception('no ' ~ messages[0].role) }}").unwrap();
    fails(&template, 1, "no user");
    std::fs::write(&file, "{% for i in range(100000) %}{{ messages }}{% endfor %}").unwrap();
    fails(&template, 1, "too long or too much memory");
    std::fs::write(&file, TEMPLATE).unwrap();
    fails(&[template[0], template[1], "--context", "8"], 1, "context");
    fails(&["--max-tokens", "0"], 2, "--max-tokens");
    fails(&["--device", "abacus"], 2, "--device");
}
