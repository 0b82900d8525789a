//! Pipelines: each pair of shader variant and constants is compiled once per device.
//!
//! Compiling is the slow part of a first run, so the new pipelines of a plan are compiled on
//! several threads. Bind group layouts come from [`Variant::bindings`], not from reflection:
//! variants with the same bindings share a layout.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use unisono_core::{Error, KernelSource, Result};
use unisono_shaders::{Access, ENTRY_POINT, PARAMETER_BYTES, Variant};

use crate::device::{Gpu, lock};
use crate::launch::{Launch, Recipe};
use crate::options::WgpuOptions;

#[cfg(not(target_family = "wasm"))]
use crate::disk_cache::DiskCache;

/// Threads that compile at once, at most.
#[cfg(not(target_family = "wasm"))]
const MAX_THREADS: usize = 8;
/// Stack of a compiling thread: parsers and drivers recurse.
#[cfg(not(target_family = "wasm"))]
const STACK_BYTES: usize = 8 << 20;

/// A compiled shader and the layout of its bind group.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) raw: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    variant: &'static str,
    constants: Vec<(&'static str, u64)>,
}

/// Everything compiled on one device.
#[derive(Debug)]
pub(crate) struct Pipelines {
    gpu: Arc<Gpu>,
    trusted: bool,
    /// Texts that take the place of the crate's own, by variant.
    replaced: BTreeMap<String, String>,
    #[cfg(not(target_family = "wasm"))]
    disk: Option<DiskCache>,
    modules: Mutex<HashMap<&'static str, wgpu::ShaderModule>>,
    layouts: Mutex<HashMap<&'static [Access], (wgpu::BindGroupLayout, wgpu::PipelineLayout)>>,
    built: Mutex<HashMap<Key, Arc<Pipeline>>>,
    /// Held while pipelines are built, so that two plans do not build the same one.
    building: Mutex<()>,
    count: AtomicU64,
}

impl Pipelines {
    /// An error if a text is to take the place of a variant that there is not.
    pub(crate) fn new(
        gpu: Arc<Gpu>,
        options: &WgpuOptions,
        #[cfg(not(target_family = "wasm"))] disk: Option<DiskCache>,
    ) -> Result<Pipelines> {
        let replaced = options.replaced.as_ref().map_or_else(BTreeMap::new, |r| r.texts.clone());
        if let Some(name) = replaced.keys().find(|name| unisono_shaders::variant(name).is_none()) {
            return Err(Error::invalid(format!("there is no shader {name:?} to replace")));
        }
        Ok(Pipelines {
            gpu,
            trusted: options.trusted,
            replaced,
            #[cfg(not(target_family = "wasm"))]
            disk,
            modules: Mutex::default(),
            layouts: Mutex::default(),
            built: Mutex::default(),
            building: Mutex::default(),
            count: AtomicU64::new(0),
        })
    }

    /// How many pipelines were built.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// The pipeline of each launch, building those that are new.
    pub(crate) fn get(&self, launches: &[&Launch]) -> Result<Vec<Arc<Pipeline>>> {
        let keys: Vec<Key> = launches.iter().map(|launch| key(launch)).collect();
        if let Some(all) = self.find(&keys) {
            return Ok(all);
        }
        let _building = lock(&self.building);
        let mut missing: Vec<(&Key, &Launch)> = Vec::new();
        {
            let built = lock(&self.built);
            for (key, launch) in keys.iter().zip(launches) {
                if !built.contains_key(key) && !missing.iter().any(|(other, _)| *other == key) {
                    missing.push((key, launch));
                }
            }
        }
        let made = self.build_all(&missing.iter().map(|(_, launch)| *launch).collect::<Vec<_>>());
        let mut failure = None;
        for ((key, _), made) in missing.into_iter().zip(made) {
            match made {
                Ok(pipeline) => {
                    self.count.fetch_add(1, Relaxed);
                    lock(&self.built).insert(key.clone(), Arc::new(pipeline));
                }
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        #[cfg(not(target_family = "wasm"))]
        if let Some(disk) = &self.disk {
            disk.grown();
        }
        match failure {
            Some(e) => Err(e),
            None => self.find(&keys).ok_or_else(|| Error::internal("a pipeline that was built is gone")),
        }
    }

    fn find(&self, keys: &[Key]) -> Option<Vec<Arc<Pipeline>>> {
        let built = lock(&self.built);
        keys.iter().map(|key| built.get(key).cloned()).collect()
    }

    #[cfg(target_family = "wasm")]
    fn build_all(&self, launches: &[&Launch]) -> Vec<Result<Pipeline>> {
        launches.iter().map(|launch| self.build(launch)).collect()
    }

    #[cfg(not(target_family = "wasm"))]
    fn build_all(&self, launches: &[&Launch]) -> Vec<Result<Pipeline>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS).min(launches.len());
        if threads <= 1 {
            return launches.iter().map(|launch| self.build(launch)).collect();
        }
        let next = AtomicU64::new(0);
        let made: Mutex<Vec<Option<Result<Pipeline>>>> = Mutex::new(launches.iter().map(|_| None).collect());
        let work = || {
            loop {
                let at = next.fetch_add(1, Relaxed) as usize;
                let Some(launch) = launches.get(at) else { break };
                let pipeline = self.build(launch);
                lock(&made)[at] = Some(pipeline);
            }
        };
        std::thread::scope(|scope| {
            let start = |_| {
                let thread = std::thread::Builder::new().name("unisono-compile".to_owned()).stack_size(STACK_BYTES);
                // Without another thread this one does all the work.
                thread.spawn_scoped(scope, work).ok()
            };
            let others: Vec<_> = (1..threads).filter_map(start).collect();
            work();
            // A scope waits for the work, a join for the thread and what drivers keep with it.
            for thread in others {
                let _ = thread.join();
            }
        });
        let made = made.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        made.into_iter()
            .zip(launches)
            .map(|(pipeline, launch)| pipeline.unwrap_or_else(|| self.build(launch)))
            .collect()
    }

    fn build(&self, launch: &Launch) -> Result<Pipeline> {
        let variant = launch.variant;
        let module = self.module(variant)?;
        let (layout, pipeline_layout) = self.layout(variant)?;
        let constants: Vec<(&str, f64)> = launch.constants.clone();
        #[cfg(not(target_family = "wasm"))]
        let cache = self.disk.as_ref().map(DiskCache::raw);
        #[cfg(target_family = "wasm")]
        let cache = None;
        let raw = self.gpu.capture(
            || format!("building the kernel {} with {constants:?}", variant.name),
            || {
                self.gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(variant.name),
                    layout: Some(&pipeline_layout),
                    module: &module,
                    entry_point: Some(ENTRY_POINT),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        constants: &constants,
                        zero_initialize_workgroup_memory: false,
                    },
                    cache,
                })
            },
        )?;
        Ok(Pipeline { raw, layout })
    }

    /// The text of a variant on this device.
    fn text(&self, variant: &'static Variant) -> &str {
        self.replaced.get(variant.name).map_or(variant.wgsl, String::as_str)
    }

    /// What the launches of a recipe are built from, each once.
    pub(crate) fn sources(&self, recipe: &Recipe) -> Vec<KernelSource> {
        let mut sources: Vec<KernelSource> = Vec::new();
        for launch in &recipe.launches {
            let source = KernelSource {
                name: launch.variant.name.to_owned(),
                constants: launch.constants.iter().map(|&(name, value)| (name.to_owned(), value)).collect(),
                text: self.text(launch.variant).to_owned(),
            };
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        sources
    }

    fn module(&self, variant: &'static Variant) -> Result<wgpu::ShaderModule> {
        if let Some(module) = lock(&self.modules).get(variant.name) {
            return Ok(module.clone());
        }
        let replaced = self.replaced.contains_key(variant.name);
        let text = self.text(variant);
        // Browsers require the directive that naga refuses.
        let source = if cfg!(target_family = "wasm") && variant.requires.subgroups {
            format!("enable subgroups;\n{text}").into()
        } else {
            text.to_owned().into()
        };
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(variant.name), source: wgpu::ShaderSource::Wgsl(source) };
        let mut checks = wgpu::ShaderRuntimeChecks::checked();
        if !replaced {
            checks.bounds_checks = !self.trusted;
            checks.int_div_checks = !self.trusted;
            checks.force_loop_bounding = false;
        }
        let create = || {
            // SAFETY: a replaced text runs with every check. Other shaders are those of
            // `unisono_shaders`. Their loops end (they count up to a bound that is read once), and
            // they guard every index by the shapes in their parameters, which selection derives from
            // validated programs.
            unsafe { self.gpu.device.create_shader_module_trusted(descriptor, checks) }
        };
        let module = self.gpu.capture(|| format!("loading the shader {}", variant.name), create)?;
        Ok(lock(&self.modules).entry(variant.name).or_insert(module).clone())
    }

    fn layout(&self, variant: &'static Variant) -> Result<(wgpu::BindGroupLayout, wgpu::PipelineLayout)> {
        let mut layouts = lock(&self.layouts);
        if let Some(found) = layouts.get(variant.bindings) {
            return Ok(found.clone());
        }
        let entry = |binding: usize, ty, size| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: size },
            count: None,
        };
        let storage =
            variant.bindings.iter().enumerate().map(|(i, access)| {
                entry(i, wgpu::BufferBindingType::Storage { read_only: *access == Access::Read }, None)
            });
        let parameters =
            entry(variant.bindings.len(), wgpu::BufferBindingType::Uniform, wgpu::BufferSize::new(PARAMETER_BYTES));
        let entries: Vec<_> = storage.chain([parameters]).collect();
        let device = &self.gpu.device;
        let made = self.gpu.capture(
            || format!("laying out the bindings of {}", variant.name),
            || {
                let group = device
                    .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
                let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                    label: None,
                    bind_group_layouts: &[Some(&group)],
                    immediate_size: 0,
                });
                (group, pipeline)
            },
        )?;
        layouts.insert(variant.bindings, made.clone());
        Ok(made)
    }
}

fn key(launch: &Launch) -> Key {
    let constants = launch.constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
    Key { variant: launch.variant.name, constants }
}
