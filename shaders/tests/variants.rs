//! Every variant is valid WGSL within what its row of the table declares, and every writer accepts
//! it: parsed and validated with only the capabilities that it declares, its constants replaced by
//! values that selection uses, and written as SPIR-V, MSL, HLSL and GLSL ES 3.1.

use naga::back::{self, pipeline_constants::process_overrides};
use naga::proc::{BoundsCheckPolicies, Layouter};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage, StorageAccess};
use unisono_shaders::{Access, ENTRY_POINT, GUARANTEED_WORKGROUP_BYTES, PARAMETER_BYTES, VARIANTS, Variant};

fn capabilities(variant: &Variant) -> Capabilities {
    let mut caps = Capabilities::empty();
    caps.set(Capabilities::SHADER_FLOAT16, variant.requires.f16);
    caps.set(Capabilities::SUBGROUP, variant.requires.subgroups);
    caps.set(Capabilities::COOPERATIVE_MATRIX, variant.requires.matrix_units);
    caps
}

fn validator(variant: &Variant) -> Validator {
    let mut validator = Validator::new(ValidationFlags::all(), capabilities(variant));
    if variant.requires.subgroups {
        validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
        validator.subgroup_operations(naga::valid::SubgroupOperationSet::all());
    }
    validator
}

fn parse(variant: &Variant) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(variant.wgsl)
        .unwrap_or_else(|e| panic!("{}: {}\n{}", variant.name, e.emit_to_string(variant.wgsl), variant.wgsl));
    let info = validator(variant)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}: {}", variant.name, e.emit_to_string(variant.wgsl)));
    (module, info)
}

/// Invocations of workgroups whose number is a constant of the pipeline.
const GROUPS: [f64; 3] = [256.0, 8.0, 256.0];

/// Constants as selection sets them: every dtype, and small and large values of the others.
fn constant_sets(variant: &Variant) -> Vec<naga::back::PipelineConstants> {
    let value = |name: &str, round: usize| -> f64 {
        match name {
            "Y" if variant.name.ends_with(".sub") => [1.0, 2.0, 1.0][round],
            "Y" => 0.0,
            "B" | "C" if variant.name.starts_with("attention") => [0.0, 1.0, 4.0][round],
            "A" | "B" | "C" | "D" => [0.0, 1.0, 2.0][round],
            "E" => [2.0, 0.0, 1.0][round],
            "OP" => [0.0, 4.0, 11.0][round],
            "FROM" => [6.0, 0.0, 3.0][round],
            "TO" => [0.0, 6.0, 5.0][round],
            "KEY" => [0.0, 1.0, 2.0][round],
            "UNIT" => [2.0, 1.0, 4.0][round],
            "FORMAT" => [0.0, 7.0, 12.0][round],
            "BLOCK" => [32.0, 256.0, 32.0][round],
            "BLOCK_BYTES" => [18.0, 144.0, 17.0][round],
            "M" if variant.name.contains("columns") => [1.0, 8.0, 32.0][round],
            "M" => [1.0, 5.0, 8.0][round],
            "SIZE" => [4.0, 8.0, 8.0][round],
            "GROUP" => GROUPS[round],
            "LANES" => [8.0, 32.0, 64.0][round],
            "ACTIVATION" => [8.0, 5.0, 6.0][round],
            _ => [0.0, 1.0, 1.0][round],
        }
    };
    let set = |round| variant.constants.iter().map(|&name| (name.to_owned(), value(name, round))).collect();
    (0..3).map(set).collect()
}

fn each(mut check: impl FnMut(&Variant, &Module, &ModuleInfo)) {
    for variant in VARIANTS {
        let (module, info) = parse(variant);
        for constants in constant_sets(variant) {
            let entry = Some((ShaderStage::Compute, ENTRY_POINT));
            let (module, _) = process_overrides(&module, &info, entry, &constants)
                .unwrap_or_else(|e| panic!("{} with {constants:?}: {e}", variant.name));
            let info = validator(variant)
                .validate(&module)
                .unwrap_or_else(|e| panic!("{} with {constants:?}: {}", variant.name, e.emit_to_string(variant.wgsl)));
            check(variant, &module, &info);
        }
    }
}

#[test]
fn descriptions_match_the_modules() {
    each(|variant, module, _| {
        let mut bindings = Vec::new();
        let mut layouter = Layouter::default();
        layouter.update(module.to_ctx()).expect("layout");
        let mut workgroup_bytes = 0;
        for (_, global) in module.global_variables.iter() {
            let size = layouter[global.ty].size;
            match (global.space, &global.binding) {
                (AddressSpace::Storage { access }, Some(at)) => {
                    assert_eq!(at.group, 0, "{}", variant.name);
                    let writes = access.contains(StorageAccess::STORE);
                    bindings.push((at.binding, if writes { Access::ReadWrite } else { Access::Read }));
                }
                (AddressSpace::Uniform, Some(at)) => {
                    assert_eq!(at.binding as usize, variant.bindings.len(), "{}", variant.name);
                    assert!(u64::from(size) <= PARAMETER_BYTES, "{}: {size} bytes of parameters", variant.name);
                }
                (AddressSpace::WorkGroup, _) => workgroup_bytes += size.next_multiple_of(16),
                _ => {}
            }
        }
        bindings.sort_unstable_by_key(|b| b.0);
        let accesses: Vec<Access> = bindings.iter().map(|b| b.1).collect();
        assert_eq!(accesses, variant.bindings, "{}", variant.name);
        assert!(bindings.len() <= 8, "{}: more storage buffers than WebGPU guarantees", variant.name);
        assert!(workgroup_bytes <= variant.workgroup_bytes, "{}: {workgroup_bytes} bytes", variant.name);
        assert!(variant.workgroup_bytes <= GUARANTEED_WORKGROUP_BYTES, "{}", variant.name);
        let entry = module.entry_points.iter().find(|e| e.name == ENTRY_POINT).expect(variant.name);
        let [x, y, z] = entry.workgroup_size;
        let free = variant.constants.contains(&"GROUP") && GROUPS.contains(&f64::from(x));
        assert_eq!([if free { 256 } else { x }, y, z], variant.workgroup_size, "{}", variant.name);
        assert!(entry.workgroup_size.iter().product::<u32>() <= 256, "{}", variant.name);
    });
}

#[test]
fn names_are_unique() {
    for (i, variant) in VARIANTS.iter().enumerate() {
        assert!(VARIANTS[..i].iter().all(|other| other.name != variant.name), "{}", variant.name);
        assert_eq!(unisono_shaders::variant(variant.name), Some(variant));
    }
}

#[test]
fn spirv_is_written() {
    let options = back::spv::Options { fake_missing_bindings: true, ..Default::default() };
    each(|variant, module, info| {
        let words = back::spv::write_vec(module, info, &options, None);
        assert!(words.unwrap_or_else(|e| panic!("{}: {e}", variant.name)).len() > 5);
    });
}

#[test]
fn msl_is_written() {
    let options = back::msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
    each(|variant, module, info| {
        // Metal's matrices have a side of 8, and these are 16 × 16.
        if variant.requires.matrix_units && variant.requires.f16 {
            return;
        }
        let text = back::msl::write_string(module, info, &options, &back::msl::PipelineOptions::default());
        let (text, _) = text.unwrap_or_else(|e| panic!("{}: {e}", variant.name));
        assert!(text.contains("kernel void"), "{}", variant.name);
    });
}

#[test]
fn hlsl_is_written() {
    let options = back::hlsl::Options {
        shader_model: back::hlsl::ShaderModel::V6_2,
        fake_missing_bindings: true,
        ..Default::default()
    };
    each(|variant, module, info| {
        // Direct3D has none.
        if variant.requires.matrix_units {
            return;
        }
        let mut text = String::new();
        let pipeline = back::hlsl::PipelineOptions::default();
        back::hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(module, info, None)
            .unwrap_or_else(|e| panic!("{}: {e}", variant.name));
        assert!(text.contains("numthreads"), "{}", variant.name);
    });
}

#[test]
fn glsl_es_is_written_where_no_feature_is_needed() {
    let options = back::glsl::Options { version: back::glsl::Version::new_gles(310), ..Default::default() };
    each(|variant, module, info| {
        if variant.requires != Default::default() {
            return;
        }
        let mut text = String::new();
        let pipeline = back::glsl::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: ENTRY_POINT.to_owned(),
            multiview: None,
        };
        back::glsl::Writer::new(&mut text, module, info, &options, &pipeline, BoundsCheckPolicies::default())
            .and_then(|mut writer| writer.write())
            .unwrap_or_else(|e| panic!("{}: {e}", variant.name));
        assert!(text.contains("local_size_x"), "{}", variant.name);
    });
}
