use super::*;
use crate::case::CaseClass;

fn result(id: &str, kernel: &str, selected: bool, status: Status) -> CaseResult {
    let item = select(&Options::new(Level::Quick)).remove(0);
    CaseResult {
        id: id.into(),
        kernel: kernel.into(),
        selected,
        status,
        ..item.blank("cpu", &Options::new(Level::Quick))
    }
}

fn list(ids: &[&str]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[test]
fn every_profile_has_cases_and_a_name_of_its_own() {
    let quick = select(&Options::new(Level::Quick));
    let full = select(&Options::new(Level::Full));
    for (i, profile) in profiles().iter().enumerate() {
        assert!(profiles()[..i].iter().all(|p| p.name != profile.name), "{}", profile.name);
        assert!(!profile.about.is_empty());
        let (small, large) = (profile.ids_among(&quick), profile.ids_among(&full));
        assert!(
            small.len() >= 30 && large.len() > 2 * small.len(),
            "{}: {}, {}",
            profile.name,
            small.len(),
            large.len()
        );
        assert!(large.is_sorted() && small.iter().all(|id| large.binary_search(id).is_ok()));
        // A rule that selects nothing promises what nothing tests.
        for rule in profile.rules {
            for family in rule.families {
                let alone = Rule { families: std::slice::from_ref(family), ..*rule };
                for dtype in rule.dtypes {
                    let alone = Rule { dtypes: std::slice::from_ref(dtype), ..alone };
                    let names = |n: &str| {
                        rule.names.is_empty()
                            || full.iter().any(|item| item.family() == *family && item.id().contains(&format!("/{n}:")))
                    };
                    assert!(rule.names.iter().all(|n| names(n)), "{}: {rule:?}", profile.name);
                    let selected = full.iter().filter(|item| alone.selects(item)).count();
                    let single = rule.dtypes.len() == 1 || rule.names.is_empty();
                    assert!(selected > 0 || !single, "{}: {family} {dtype} has no case", profile.name);
                }
            }
        }
    }
    assert!(profile("llama-f16").is_some() && profile("nonsense").is_none());
}

#[test]
fn no_informative_case_is_required() {
    let full = select(&Options::new(Level::Full));
    let informative = |item: &&Item| item.facts().is_some_and(|(_, class)| class == CaseClass::Informative);
    let informative: Vec<&str> = full.iter().filter(informative).map(Item::id).collect();
    assert!(!informative.is_empty());
    for profile in profiles() {
        let ids = profile.ids_among(&full);
        assert!(informative.iter().all(|id| ids.binary_search(&(*id).to_string()).is_err()), "{}", profile.name);
    }
}

#[test]
fn profiles_differ_in_what_their_models_need() {
    let full = select(&Options::new(Level::Full));
    let some =
        |name: &str, part: &dyn Fn(&str) -> bool| profile(name).expect(name).ids_among(&full).iter().any(|id| part(id));
    let quantised = |id: &str| id.starts_with("matmul/blocks:dtype=f32_q4_k");
    assert!(some("llama-q4", &quantised) && !some("llama-f16", &quantised));
    let capped = |id: &str| id.starts_with("attention/") && id.contains("cap=30");
    assert!(some("gemma", &capped) && !some("llama-bf16", &capped) && !some("gpt-oss", &capped));
    let sinks = |id: &str| id.starts_with("attention/") && id.contains("sinks=") && !id.contains("sinks=none");
    assert!(some("gpt-oss", &sinks) && !some("gemma", &sinks));
    let bare = |id: &str| id.starts_with("attention/") && id.contains("see=all");
    assert!(some("bert", &bare));
    assert!(some("moe", &|id| id.starts_with("matmul_id/")) && some("bert", &|id| id.starts_with("mean/")));
}

#[test]
fn the_hash_changes_when_a_case_is_removed() {
    for profile in profiles() {
        let ids = profile.ids(Level::Quick);
        let hash = list_hash(&ids);
        assert_eq!(hash, list_hash(&profile.ids(Level::Quick)));
        for at in [0, ids.len() / 2, ids.len() - 1] {
            let mut fewer = ids.clone();
            fewer.remove(at);
            assert_ne!(list_hash(&fewer), hash, "{}", profile.name);
        }
    }
    assert_ne!(list_hash(&list(&["a", "b"])), list_hash(&list(&["ab"])));
}

#[test]
fn a_profile_passes_only_when_every_case_passes_on_every_kernel() {
    let ids = list(&["a", "b"]);
    let a = || vec![result("a", "k1", true, Status::Pass), result("a", "k2", false, Status::Warn)];
    let with = |b: Vec<CaseResult>| judge("p", &ids, &a().into_iter().chain(b).collect::<Vec<_>>());
    let counts = |p: &ProfileResult| (p.passed, p.failed, p.unsupported, p.missing);
    let open = with(vec![result("b", "k1", true, Status::NotFinished)]);
    assert_eq!((open.verdict, counts(&open), open.unfinished), (ProfileVerdict::NotFinished, (1, 0, 0, 0), 1));
    let failed = judge("p", &ids, &[result("a", "k", true, Status::Fail), result("b", "k", true, Status::NotFinished)]);
    assert_eq!((failed.verdict, failed.unfinished), (ProfileVerdict::Fail, 1), "what failed stays failed");
    let b = |status| result("b", "k1", true, status);

    let passed = with(vec![b(Status::Pass)]);
    assert_eq!((passed.verdict, counts(&passed)), (ProfileVerdict::Pass, (2, 0, 0, 0)));
    assert_eq!((passed.cases, passed.list_hash), (2, list_hash(&ids)));
    for (status, expected) in [
        (Status::Warn, (2, 0, 0, 0)),
        (Status::UnexpectedPass, (2, 0, 0, 0)),
        (Status::Unsupported, (1, 0, 1, 0)),
        (Status::ExpectedFail, (1, 1, 0, 0)),
        (Status::NotRun, (1, 0, 0, 1)),
        (Status::Fail, (1, 1, 0, 0)),
        (Status::Error, (1, 1, 0, 0)),
    ] {
        let judged = with(vec![b(status)]);
        assert_eq!(counts(&judged), expected, "{status:?}");
        assert_eq!(judged.verdict == ProfileVerdict::Pass, expected.0 == 2, "{status:?}");
    }
    // Another candidate that fails, and one that is no candidate because its primitives are declined.
    let other = |status| with(vec![b(Status::Pass), result("b", "k2", false, status)]);
    assert_eq!(counts(&other(Status::Fail)), (1, 1, 0, 0));
    assert_eq!(counts(&other(Status::Unsupported)), (2, 0, 0, 0));
    // A case that did not run at all, or not on the selected kernel.
    assert_eq!(counts(&with(vec![])), (1, 0, 0, 1));
    assert_eq!(counts(&with(vec![result("b", "k2", false, Status::Pass)])), (1, 0, 0, 1));
    assert_eq!(judge("p", &[], &a()).verdict, ProfileVerdict::Fail, "an empty list proves nothing");
}

#[test]
fn a_run_of_a_whole_level_is_judged_by_every_profile_and_a_part_of_it_by_none() {
    let judged = |options: &Options| of_run(options, &select(options), &[]).len();
    let quick = || Options::new(Level::Quick);
    assert_eq!(judged(&quick()), profiles().len());
    assert_eq!(judged(&quick().with_patterns(vec!["neg/".into()])), 0);
    assert_eq!(judged(&quick().with_seed(Some(2))), 0);
    assert_eq!(judged(&quick().with_profile(Some("none".into()))), 0);
    let bert = quick().with_profile(Some("bert".into()));
    let results = of_run(&bert, &select(&bert), &[]);
    assert_eq!(results.len(), 1);
    let ids = profile("bert").unwrap().ids(Level::Quick);
    assert_eq!((results[0].list_hash.clone(), results[0].missing), (list_hash(&ids), ids.len()));
    assert_eq!(select(&bert).len(), ids.len());
}
