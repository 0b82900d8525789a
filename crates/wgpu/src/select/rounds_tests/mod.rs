//! The rounds that `rounds` counts hold for the text of every kernel: each is run, with the constants
//! and parameters of launches that selection admits, for the sizes of the suite and many others. Those
//! grow to the largest that are admitted; texts are run up to 4,000 rounds.

mod machine;
mod memory;
mod sizes;
mod value;

use std::collections::{BTreeMap, HashMap, HashSet};

use naga::back::pipeline_constants::process_overrides;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Module, ShaderStage};
use unisono_conformance::{Level, suite};
use unisono_core::op::{Attention, Reduce, ReduceOp, Visibility};
use unisono_core::{DType, Op, OpDesc};
use unisono_shaders::{ENTRY_POINT, VARIANTS, Variant};

use self::machine::{Input, Machine};
use super::tests::{default_limits, devices, op, step, t};
use super::{build, candidates, names, recipe, rounds};
use crate::caps::Caps;
use crate::launch::Launch;

/// Launches of more rounds are run once for each kernel, those of still more never: they take long.
const MANY: u64 = 1000;
const MOST: u64 = 4000;
/// Launches of one kernel that are run for each device.
const EACH: usize = 6;
/// The constants that loops depend on.
const OF_LOOPS: [&str; 9] = ["UNIT", "GROUP", "LANES", "M", "COLUMNS", "UNROLL", "PAIRS", "BLOCK", "B_ALONG_K"];

/// What was found of a kernel.
#[derive(Default)]
struct Found {
    launches: usize,
    /// Of those, the ones of the present device.
    here: usize,
    many: usize,
    /// The most rounds that were run, and what was counted for them.
    largest: [u64; 2],
}

/// Launches of one kind are alike in loops: variant, constants, subgroup and magnitude of the rounds.
type Kind = (&'static str, Vec<(&'static str, u64)>, u32, u32);

#[derive(Default)]
struct Check {
    parsed: HashMap<&'static str, (Module, ModuleInfo)>,
    /// Launches that were run.
    seen: HashSet<Kind>,
    found: BTreeMap<&'static str, Found>,
    wrong: Vec<String>,
}

fn parse(variant: &Variant) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(variant.wgsl).unwrap_or_else(|e| panic!("{}: {e}", variant.name));
    let mut validator = Validator::new(ValidationFlags::empty(), Capabilities::all());
    let info = validator.validate(&module).unwrap_or_else(|e| panic!("{}: {e:?}", variant.name));
    (module, info)
}

/// Integers that a kernel reads, of the kind that keeps its loops busy: attention sees every key, of
/// another cache for each token; every row chooses the first expert.
fn data(launch: &Launch) -> impl Fn(u32, u32) -> u32 {
    let attention = launch.variant.name.starts_with("attention_") && launch.params.len() > 50;
    let word = |i: usize| if attention { launch.params[i] } else { 0 };
    let (keys, caches) = (word(4), word(47).max(1));
    move |binding, i| match binding {
        5 if attention => keys,
        6 if attention => i % caches,
        _ => 0,
    }
}

impl Check {
    fn launch(&mut self, launch: &Launch, caps: &Caps, what: &str) {
        let variant = launch.variant;
        let counted = rounds::of(variant, &launch.constants, &launch.params, caps).expect(variant.name);
        assert!(counted <= caps.loop_rounds, "{what} by {}: {counted} rounds", variant.name);
        let blocks = |(name, x): (&str, f64)| name == "B" && x == 4.0;
        let of_loops = launch.constants.iter().filter(|&&c| OF_LOOPS.contains(&c.0) || blocks(c));
        let mut constants: Vec<_> = of_loops.map(|&(name, x)| (name, x.to_bits())).collect();
        // How attention masks keys, too.
        constants.extend(launch.params.get(55).map(|&masking| ("masking", u64::from(masking))));
        let magnitude = counted.max(1).ilog10();
        let found = self.found.entry(variant.name).or_default();
        let long = counted > MOST || counted > MANY && found.many > 0 || found.here >= EACH;
        let subgroup = caps.subgroups.filter(|_| variant.requires.subgroups).map_or(1, |(least, _)| least);
        if long || !self.seen.insert((variant.name, constants, subgroup, magnitude)) {
            return;
        }
        let (module, info) = self.parsed.entry(variant.name).or_insert_with(|| parse(variant));
        let constants = launch.constants.iter().map(|&(name, x)| (name.to_owned(), x)).collect();
        let entry = Some((ShaderStage::Compute, ENTRY_POINT));
        let (module, info) =
            process_overrides(module, info, entry, &constants).unwrap_or_else(|e| panic!("{}: {e}", variant.name));
        let groups: u32 = launch.groups.iter().product();
        let run = |group: u32| {
            let (params, groups, data) = (&launch.params, launch.groups, &data(launch));
            let input = Input { name: variant.name, params, groups, group, subgroup, data };
            Machine::rounds(&module, &info, &input)
        };
        // The last part of the keys takes what is left.
        let made = if variant.name.contains("split") { run(0).max(run(groups - 1)) } else { run(0) };
        if made > counted {
            let (name, constants, params) = (variant.name, &launch.constants, &launch.params);
            self.wrong
                .push(format!("{what} by {name} with {constants:?} and {params:?}: {made}, not {counted} rounds"));
        }
        found.launches += 1;
        found.here += 1;
        found.many += usize::from(counted > MANY);
        if made > found.largest[0] {
            found.largest = [made, counted];
        }
    }

    /// Every launch of every kernel that serves the operation.
    fn operation(&mut self, desc: &OpDesc, caps: &Caps, what: &str) {
        let step = step(desc, 0);
        for name in names(desc, caps) {
            if let Ok(built) = build(&step, name, caps) {
                built.launches.iter().for_each(|launch| self.launch(launch, caps, what));
            }
        }
    }
}

/// Devices that differ in loops: invocations of subgroups, lanes of kernels, and none at all.
fn kinds() -> Vec<Caps> {
    let all = devices();
    let software = |i: usize| all[i].clone();
    // OpenGL has no subgroups.
    let gl = Caps { subgroups: None, ..software(8) };
    let hardware = |i: usize| Caps { loop_rounds: rounds_of_software(), software: true, ..all[i].clone() };
    vec![software(8), software(9), gl, hardware(1), hardware(4)]
}

fn rounds_of_software() -> u64 {
    default_limits().loop_rounds
}

#[test]
fn no_kernel_makes_more_rounds_than_are_counted() {
    let mut check = Check::default();
    let cases = suite(Level::Full);
    for (i, caps) in kinds().iter().enumerate() {
        check.found.values_mut().for_each(|found| found.here = 0);
        for (name, of) in sizes::families() {
            let mut size = 1;
            while size < 1 << 25 {
                check.operation(&of(size), caps, &format!("{name} of {size} on {}", caps.profile.name));
                size = size * 37 / 8 + 1;
            }
        }
        for (n, case) in cases.iter().enumerate() {
            if n % 5 == i {
                check.operation(&case.desc, caps, &case.id);
            }
        }
    }
    for variant in VARIANTS.iter().filter(|v| !v.name.starts_with("probe_")) {
        if !check.found.contains_key(variant.name) {
            check.wrong.push(format!("{} was never run", variant.name));
        }
    }
    for (name, found) in &check.found {
        // A count far above what a kernel does would refuse work for nothing.
        let [made, counted] = found.largest;
        println!("{name}: {} launches, {made} rounds of {counted} counted", found.launches);
        if counted > made + made / 3 + 300 {
            check.wrong.push(format!("{name}: counted {counted}, made {made} rounds"));
        }
    }
    assert!(check.wrong.is_empty(), "{}", check.wrong.join("\n"));
}

/// Attention of `tokens` queries over `kv` keys, heads of 128.
fn attention(tokens: usize, heads: usize, kv: usize) -> OpDesc {
    let q = t(DType::F32, &[1, heads, tokens, 128]);
    let cache = t(DType::F16, &[1, heads, kv, 128]);
    op(Op::Attention(Attention::new(0.1, Visibility::Causal)), &[q, cache, cache], &[q])
}

#[test]
fn a_long_context_takes_more_parts_where_loops_end() {
    let (hardware, software) = (&devices()[1], &devices()[8]);
    let desc = attention(8, 1, 131_072);
    let admitted = |caps| candidates(&desc, caps).expect("candidates");
    assert!(admitted(software).iter().all(|name| name.ends_with("split")), "{:?}", admitted(software));
    assert!(admitted(hardware).iter().any(|name| !name.ends_with("split")), "{:?}", admitted(hardware));
    // Words 9 and 10 of the parameters are the parts and the keys of each.
    for name in admitted(software) {
        let recipe = recipe(&step(&desc, 0), Some(&name), software).expect("a recipe");
        let (parts, keys) = (recipe.launches[0].params[9], recipe.launches[0].params[10]);
        assert!(parts >= 8 && parts * keys >= 131_072 && keys < 17_000, "{name}: {parts} parts of {keys}");
    }
    let short = attention(1, 1, 4096);
    let of = |caps| recipe(&step(&short, 0), Some("attention_split"), caps).expect("a recipe").launches[0].params[9];
    assert_eq!((of(hardware), of(software)), (16, 2), "a short context has the parts of its profile");
}

#[test]
fn many_rows_over_many_keys_leave_parts_of_bounded_size() {
    let software = &devices()[8];
    let desc = attention(4000, 8, 32_768);
    for name in candidates(&desc, software).expect("candidates") {
        let recipe = recipe(&step(&desc, 0), Some(&name), software).expect("a recipe");
        assert!(recipe.scratch.iter().all(|&bytes| bytes <= 64 << 20), "{name}: {:?}", recipe.scratch);
        let combined: u32 =
            recipe.launches.iter().filter(|l| l.variant.name == "attention_combine").map(|l| l.params[0]).sum();
        assert_eq!(combined, 8 * 4000, "{name}: rows joined");
    }
}

#[test]
fn a_launch_of_too_many_rounds_is_refused_with_both_numbers() {
    let caps = Caps { loop_rounds: 1000, ..default_limits() };
    let row = t(DType::I32, &[1, 1 << 20]);
    let sum = Reduce { op: ReduceOp::Sum, axis: 1 };
    let refusal = candidates(&op(Op::Reduce(sum), &[row], &[t(DType::I32, &[1, 1])]), &caps).expect_err("too long");
    let text = refusal.to_string();
    assert!(text.contains("4107 rounds") && text.contains("1000"), "{text}");
}
