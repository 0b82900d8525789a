//! A chat template and a conversation: three messages, whose texts stand behind the bytes `TEXT`.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use unisono_models::{ChatOptions, ChatTemplate, Message};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (source, said) = text.split_once("TEXT").unwrap_or((&text, "Hello."));
    let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")].map(|(name, token)| (name.into(), token.into()));
    let Ok(template) = ChatTemplate::new(source, BTreeMap::from(tokens)) else { return };
    let messages = [("system", "Be brief."), ("user", said), ("assistant", "Hi.")];
    let messages = messages.map(|(role, content)| Message::new(role, content));
    let tools = serde_json::json!([{"type": "function", "function": {"name": "f", "parameters": {"x": 1}}}]);
    let variables = BTreeMap::from([("tools".to_owned(), tools)]);
    let options = ChatOptions { variables, time: Some(0), ..ChatOptions::default() };
    let _ = template.render(&messages, &options);
});
